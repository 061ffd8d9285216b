// SPDX-License-Identifier: Apache-2.0

// The benchmark's peer: products, users and orders again, as plain Go (net/http, encoding/json, pgx), with the same
// SQL on the same databases and the same durable steps. It does what the measured requests need and no more: no
// metrics, no background work, and an access log only with LOG_LEVEL=info. `load` is the benchmark's load generator.
package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

func main() {
	if len(os.Args) < 2 {
		log.Fatal("usage: peer products|users|orders|load [ARGUMENT…]")
	}
	switch os.Args[1] {
	case "products":
		serve(productsHandler(database(), cache(), secret("INTERNAL_SECRET")))
	case "users":
		serve(usersHandler(database(), secret("PASSWORD_PEPPER")))
	case "orders":
		serve(ordersHandler(&orders{db: database(), keys: verifier(env("USERS_URL")), products: env("PRODUCTS_URL"),
			secret: secret("INTERNAL_SECRET"), payments: env("PAYMENTS_URL"), paymentsSecret: secret("PAYMENTS_SECRET")}))
	case "load":
		if err := load(os.Args[2:]); err != nil {
			log.Fatal(err)
		}
	default:
		log.Fatalf("unknown mode %q", os.Args[1])
	}
}

func env(name string) string {
	value := os.Getenv(name)
	if value == "" {
		log.Fatalf("%s is not set", name)
	}
	return value
}

func secret(name string) []byte {
	value, err := base64.StdEncoding.DecodeString(env(name))
	if err != nil {
		log.Fatalf("%s: %v", name, err)
	}
	return value
}

func database() *pgxpool.Pool {
	pool, err := pgxpool.New(context.Background(), env("DATABASE_URL"))
	if err != nil {
		log.Fatal(err)
	}
	return pool
}

// serve answers HTTP/1.1 and HTTP/2 by prior knowledge on one port.
func serve(handler http.Handler) {
	if os.Getenv("LOG_LEVEL") == "info" {
		handler = accessLog(handler)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 75 * time.Second}
	server.Protocols = new(http.Protocols)
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)

	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", env("PORT")))
	if err != nil {
		log.Fatal(err)
	}
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
}

// ---- access log ----

type statusWriter struct {
	http.ResponseWriter
	status, bytes int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.bytes += n
	return n, err
}

func accessLog(next http.Handler) http.Handler {
	logger := slog.New(slog.NewJSONHandler(os.Stdout, nil))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begin := time.Now()
		sw := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(sw, r)
		logger.LogAttrs(r.Context(), slog.LevelInfo, "request",
			slog.String("method", r.Method), slog.String("route", r.Pattern), slog.String("path", r.URL.Path),
			slog.Int("status", sw.status), slog.Int("bytes", sw.bytes),
			slog.Float64("ms", float64(time.Since(begin).Microseconds())/1000), slog.String("peer", r.RemoteAddr))
	})
}

// ---- answers ----

// statusError is an error that the client is told of.
type statusError struct {
	status int
	detail string
}

func (e *statusError) Error() string { return e.detail }

func refuse(status int, format string, arguments ...any) error {
	return &statusError{status, fmt.Sprintf(format, arguments...)}
}

var errNotFound = refuse(http.StatusNotFound, "there is no such thing")

// handler is an operation that may fail.
type handler func(w http.ResponseWriter, r *http.Request) error

func (h handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	err := h(w, r)
	if err == nil {
		return
	}
	var told *statusError
	if !errors.As(err, &told) {
		log.Printf("%s %s: %v", r.Method, r.URL.Path, err)
		told = &statusError{http.StatusInternalServerError, "something went wrong"}
	}
	writeProblem(w, told)
}
