// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"math/big"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/crypto/bcrypt"
)

const (
	tokenTTL    = 15 * time.Minute
	issuer      = "bodega"
	audience    = "bodega"
	hashVersion = "v1"
)

type users struct {
	db     *pgxpool.Pool
	pepper []byte
	keys   *keySet
	key    *rsa.PrivateKey
	kid    string
	hashes chan struct{} // as many as may be computed at once
	hashNS atomic.Int64  // CPU time that they took
}

type user struct {
	ID        uuid.UUID       `json:"id"`
	Email     string          `json:"email"`
	Username  *string         `json:"username"`
	FullName  *string         `json:"full_name"`
	Phone     *string         `json:"phone"`
	Address   json.RawMessage `json:"address"`
	Role      string          `json:"role"`
	CreatedAt moment          `json:"created_at"`
	UpdatedAt moment          `json:"updated_at"`

	version int64
	epoch   int32
}

func usersHandler(db *pgxpool.Pool, pepper []byte) http.Handler {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		log.Fatal(err)
	}
	u := &users{db: db, pepper: pepper, key: key, kid: uuid.NewString(), keys: newKeySet(),
		hashes: make(chan struct{}, runtime.GOMAXPROCS(0))}
	u.keys.byID[u.kid] = &key.PublicKey
	mux := http.NewServeMux()
	mux.Handle("POST /api/v1/auth/login", handler(u.login))
	mux.Handle("GET /api/v1/users/me", handler(u.read))
	mux.Handle("GET /api/v1/users/{id}", handler(u.read))
	mux.Handle("GET /.well-known/jwks.json", handler(u.jwks))
	mux.Handle("GET /hash-cpu", handler(u.hashCPU))
	return mux
}

const userColumns = `id, email, username, full_name, phone, address, role, version, created_at, updated_at`

const userGet = `SELECT ` + userColumns + ` FROM users WHERE id = $1 AND deleted_at IS NULL`

const userFind = `SELECT m.cost, u.password_hash, u.password_cost, u.session_epoch, u.id, u.email, u.username, u.full_name, u.phone,
		u.address, u.role, u.version, u.created_at, u.updated_at
	FROM (SELECT coalesce(max(password_cost), 0) AS cost FROM users
		WHERE deleted_at IS NULL) m
	LEFT JOIN users u ON u.deleted_at IS NULL
		AND (u.email_folded = lower($1) OR u.username_folded = lower($2))`

const sessionOpen = `WITH opened AS (
		INSERT INTO sessions (id, user_id, epoch, expires_at)
		SELECT $1, id, session_epoch, now() + interval '30 days' FROM users
		WHERE id = $2 AND session_epoch = $3 AND deleted_at IS NULL
		RETURNING id)
	INSERT INTO refresh_tokens (hash, session_id) SELECT $4, id FROM opened`

// ---- reading ----

func (u *users) read(w http.ResponseWriter, r *http.Request) error {
	caller, err := u.keys.verify(r)
	if err != nil {
		return err
	}
	id := caller.id
	if text := r.PathValue("id"); text != "" {
		if id, err = uuid.Parse(text); err != nil || id != caller.id && caller.Role != "admin" {
			return errNotFound
		}
	}
	found, err := u.get(r.Context(), id)
	if err != nil {
		return err
	}
	body, err := json.Marshal(found)
	if err != nil {
		return err
	}
	return writeTagged(w, r, fmt.Sprintf(`"%d"`, found.version), body)
}

func (u *users) get(ctx context.Context, id uuid.UUID) (*user, error) {
	var found user
	var createdAt, updatedAt time.Time
	err := u.db.QueryRow(ctx, userGet, id).Scan(&found.ID, &found.Email, &found.Username, &found.FullName, &found.Phone,
		&found.Address, &found.Role, &found.version, &createdAt, &updatedAt)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, errNotFound
	}
	found.CreatedAt, found.UpdatedAt = moment(createdAt), moment(updatedAt)
	return &found, err
}

// ---- log-in ----

type credentials struct {
	Email    *string `json:"email"`
	Username *string `json:"username"`
	Password string  `json:"password"`
}

type session struct {
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int    `json:"expires_in"`
	User         *user  `json:"user"`
}

var errCredentials = refuse(http.StatusUnauthorized, "no account has this name and this password")

func (u *users) login(w http.ResponseWriter, r *http.Request) error {
	var given credentials
	if err := readJSON(w, r, &given); err != nil {
		return err
	}
	found, hash, err := u.find(r.Context(), &given)
	if err != nil {
		return err
	}
	if !u.fits(given.Password, hash) {
		return errCredentials
	}
	sessionID := uuid.Must(uuid.NewV7())
	refresh := make([]byte, 32)
	rand.Read(refresh)
	refreshToken := base64.RawURLEncoding.EncodeToString(refresh)
	digest := sha256.Sum256([]byte(refreshToken))
	if _, err := u.db.Exec(r.Context(), sessionOpen, sessionID, found.ID, found.epoch, digest[:]); err != nil {
		return err
	}
	access, err := u.sign(found, sessionID)
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	return writeJSON(w, http.StatusOK, session{access, refreshToken, "Bearer", int(tokenTTL.Seconds()), found})
}

func (u *users) find(ctx context.Context, given *credentials) (*user, string, error) {
	var costMax int32
	var hash *string
	var cost, epoch *int32
	var id *uuid.UUID
	var email, role *string
	var version *int64
	var createdAt, updatedAt *time.Time
	var found user
	err := u.db.QueryRow(ctx, userFind, given.Email, given.Username).Scan(&costMax, &hash, &cost, &epoch, &id, &email,
		&found.Username, &found.FullName, &found.Phone, &found.Address, &role, &version, &createdAt, &updatedAt)
	if err != nil {
		return nil, "", err
	}
	if hash == nil {
		return nil, "", errCredentials
	}
	found.ID, found.Email, found.Role, found.version, found.epoch = *id, *email, *role, *version, *epoch
	found.CreatedAt, found.UpdatedAt = moment(*createdAt), moment(*updatedAt)
	return &found, *hash, nil
}

// fits compares; as many at once as there are CPUs, so that a storm of log-ins leaves room for the rest.
func (u *users) fits(password, hash string) bool {
	mac := hmac.New(sha256.New, u.pepper)
	mac.Write([]byte(password))
	phrase := base64.StdEncoding.EncodeToString(mac.Sum(nil))
	u.hashes <- struct{}{}
	defer func() { <-u.hashes }()

	// The benchmark takes what the hash itself costs off what a log-in costs.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	begin := threadCPU()
	err := bcrypt.CompareHashAndPassword([]byte(strings.TrimPrefix(hash, hashVersion)), []byte(phrase))
	u.hashNS.Add(threadCPU() - begin)
	return err == nil
}

func threadCPU() int64 {
	var usage syscall.Rusage
	const ofThread = 1
	if err := syscall.Getrusage(ofThread, &usage); err != nil {
		log.Fatal(err)
	}
	return usage.Utime.Nano() + usage.Stime.Nano()
}

func (u *users) hashCPU(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, http.StatusOK, u.hashNS.Load())
}

// ---- tokens ----

type claims struct {
	jwt.RegisteredClaims
	Role      string    `json:"role"`
	SessionID uuid.UUID `json:"sid"`
	id        uuid.UUID
}

func (u *users) sign(who *user, sessionID uuid.UUID) (string, error) {
	now := time.Now()
	token := jwt.NewWithClaims(jwt.SigningMethodRS256, claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: issuer, Audience: jwt.ClaimStrings{audience}, Subject: who.ID.String(), ID: uuid.NewString(),
			IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now),
			ExpiresAt: jwt.NewNumericDate(now.Add(tokenTTL)),
		},
		Role: who.Role, SessionID: sessionID,
	})
	token.Header["kid"] = u.kid
	return token.SignedString(u.key)
}

type jwk struct {
	KeyType  string `json:"kty"`
	Use      string `json:"use"`
	ID       string `json:"kid"`
	Modulus  string `json:"n"`
	Exponent string `json:"e"`
}

type jwks struct {
	Keys []jwk `json:"keys"`
}

func (u *users) jwks(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, http.StatusOK, jwks{[]jwk{{"RSA", "sig", u.kid,
		base64.RawURLEncoding.EncodeToString(u.key.N.Bytes()),
		base64.RawURLEncoding.EncodeToString(big.NewInt(int64(u.key.E)).Bytes())}}})
}

// keySet verifies access tokens.
type keySet struct {
	byID   map[string]*rsa.PublicKey
	parser *jwt.Parser
}

func newKeySet() *keySet {
	return &keySet{map[string]*rsa.PublicKey{}, jwt.NewParser(jwt.WithValidMethods([]string{"RS256"}),
		jwt.WithIssuer(issuer), jwt.WithAudience(audience), jwt.WithExpirationRequired(), jwt.WithLeeway(30*time.Second))}
}

// verifier takes the keys from the users service, once.
func verifier(usersURL string) *keySet {
	var document struct {
		Keys []struct {
			ID       string `json:"kid"`
			Modulus  string `json:"n"`
			Exponent string `json:"e"`
		} `json:"keys"`
	}
	answer, err := http.Get(usersURL + "/.well-known/jwks.json")
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	if err := json.NewDecoder(answer.Body).Decode(&document); err != nil {
		log.Fatal(err)
	}
	keys := newKeySet()
	for _, key := range document.Keys {
		n, errN := base64.RawURLEncoding.DecodeString(key.Modulus)
		e, errE := base64.RawURLEncoding.DecodeString(key.Exponent)
		if errN != nil || errE != nil {
			log.Fatal("a malformed key from the users service")
		}
		keys.byID[key.ID] = &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}
	}
	return keys
}

func (k *keySet) verify(r *http.Request) (*claims, error) {
	text, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return nil, refuse(http.StatusUnauthorized, "needs a bearer token")
	}
	caller := new(claims)
	_, err := k.parser.ParseWithClaims(text, caller, func(token *jwt.Token) (any, error) {
		kid, _ := token.Header["kid"].(string)
		if key := k.byID[kid]; key != nil {
			return key, nil
		}
		return nil, errors.New("unknown key")
	})
	if err == nil {
		caller.id, err = uuid.Parse(caller.Subject)
	}
	if err != nil {
		return nil, refuse(http.StatusUnauthorized, "the token is not good: %v", err)
	}
	return caller, nil
}
