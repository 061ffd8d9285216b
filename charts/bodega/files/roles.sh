# Writes the SQL that makes the roles and databases of the URLs in the secrets, to be run by a superuser; what is there
# already is an error that changes nothing. users-database-url gives the database users_db to the role users, and the
# URL's role (users_a, or users_b while a password is changed) acts as that one. A new password is taken up by running it
# again:  kubectl exec NAME-postgresql-0 -- sh -c 'sh /etc/backing/roles.sh | psql -h /tmp -U postgres'
for file in /etc/bodega/secrets/*-database-url; do
	rest=$(cat "$file")
	rest=${rest#*://}
	database=${rest##*/}
	owner=${database%_db}
	user=${rest%%:*}
	rest=${rest#*:}
	password=${rest%%@*}
	cat <<-SQL
		CREATE ROLE $owner NOLOGIN;
		CREATE ROLE $user;
		ALTER ROLE $user LOGIN PASSWORD '$password';
		GRANT $owner TO $user;
		ALTER ROLE $user SET role TO $owner;
		CREATE DATABASE $database OWNER $owner;
	SQL
done
