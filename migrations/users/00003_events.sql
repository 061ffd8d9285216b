-- +goose Up
-- What the outbox tells of accounts (api/events/README.md): sessions that end before their time, so that access tokens
-- that are out there are refused and streams closed, and accounts that are deleted, so that other services forget the
-- person. Each is the only one of its subject, so it stands alone (no sequence).
CREATE INDEX sessions_of_user ON sessions (user_id);
-- For those who have not heard: which sessions ended of late.
CREATE INDEX outbox_of_late ON outbox (at);

-- +goose StatementBegin
CREATE FUNCTION session_ended(session sessions, reason text) RETURNS void
LANGUAGE sql AS $$
	SELECT outbox_add('bodega.session.ended', session.id, NULL, session.user_id,
		json_build_object('session_id', session.id, 'user_id', session.user_id, 'reason', reason))
$$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION sessions_tell() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
	PERFORM session_ended(new, 'logged_out');
	RETURN NULL;
END
$$;
-- +goose StatementEnd

-- A session that is kept (users_set_password) is of the new epoch already.
-- +goose StatementBegin
CREATE FUNCTION users_tell() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
	reason text := CASE WHEN new.deleted_at IS NOT NULL THEN 'account_deleted'
		WHEN new.role <> old.role THEN 'role_changed'
		WHEN new.password_hash <> old.password_hash THEN 'password_changed'
		ELSE 'logged_out' END;
BEGIN
	PERFORM session_ended(s, reason)
	FROM sessions s
	WHERE s.user_id = new.id AND s.epoch = old.session_epoch AND s.revoked_at IS NULL AND s.expires_at > now();
	IF new.deleted_at IS NOT NULL THEN
		PERFORM outbox_add('bodega.user.deleted', new.id, NULL, new.id, json_build_object('user_id', new.id));
	END IF;
	RETURN NULL;
END
$$;
-- +goose StatementEnd

CREATE TRIGGER sessions_tell AFTER UPDATE OF revoked_at ON sessions FOR EACH ROW
	WHEN (old.revoked_at IS NULL AND new.revoked_at IS NOT NULL) EXECUTE FUNCTION sessions_tell();
CREATE TRIGGER users_tell AFTER UPDATE OF session_epoch, deleted_at ON users FOR EACH ROW
	WHEN (new.session_epoch <> old.session_epoch OR old.deleted_at IS NULL AND new.deleted_at IS NOT NULL)
	EXECUTE FUNCTION users_tell();

-- +goose Down
DROP TRIGGER users_tell ON users;
DROP TRIGGER sessions_tell ON sessions;
DROP FUNCTION users_tell(), sessions_tell(), session_ended(sessions, text);
DROP INDEX outbox_of_late;
DROP INDEX sessions_of_user;
