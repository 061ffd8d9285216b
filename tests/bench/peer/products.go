// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"
)

const (
	cacheTTL       = 30 * time.Second
	reservationTTL = 60 * time.Minute
	priceMax       = int64(1_000_000_000_000)
	limitDefault   = 20
	limitMax       = 100
)

type products struct {
	db     *pgxpool.Pool
	redis  *redis.Client // nil: every read asks the database
	secret []byte
}

type product struct {
	ID            uuid.UUID `json:"id"`
	SellerID      uuid.UUID `json:"seller_id"`
	Name          string    `json:"name"`
	Description   string    `json:"description"`
	Price         money     `json:"price"`
	PriceMinor    int64     `json:"price_minor"`
	Currency      string    `json:"currency"`
	Category      *string   `json:"category"`
	Tags          []string  `json:"tags"`
	SKU           *string   `json:"sku"`
	ImageURL      *string   `json:"image_url"`
	StockQuantity int64     `json:"stock_quantity"`
	CreatedAt     moment    `json:"created_at"`
	UpdatedAt     moment    `json:"updated_at"`

	version, stockVersion int64
	createdAt             time.Time
}

type page[T any] struct {
	Data       []T     `json:"data"`
	NextCursor *string `json:"next_cursor"`
	HasMore    bool    `json:"has_more"`
}

func cache() *redis.Client {
	url := os.Getenv("REDIS_URL")
	if url == "" {
		return nil
	}
	return redis.NewClient(&redis.Options{Network: "unix", Addr: strings.TrimPrefix(url, "unix://")})
}

func productsHandler(db *pgxpool.Pool, redis *redis.Client, secret []byte) http.Handler {
	p := &products{db, redis, secret}
	mux := http.NewServeMux()
	mux.Handle("GET /api/v1/products", handler(p.list))
	mux.Handle("GET /api/v1/products/search", handler(p.search))
	mux.Handle("GET /api/v1/products/{id}", handler(p.read))
	mux.Handle("PUT /internal/reservations/{order_id}", handler(p.reserve))
	mux.Handle("POST /internal/reservations/{order_id}/commit", handler(p.commit))
	return mux
}

const productColumns = `p.id, p.seller_id, p.name, p.description, p.price_minor, p.currency, p.category,
	p.tags, p.sku, p.image_url, p.version, p.created_at, p.updated_at, s.available, s.version `

const productGet = `SELECT ` + productColumns + `FROM products p JOIN stock s ON s.product_id = p.id
	WHERE p.id = $1::uuid AND p.status = 'active'`

const productsNewest = `SELECT ` + productColumns + `FROM (
		SELECT * FROM products
		WHERE status = 'active' AND (created_at, id) < ($3::timestamptz, $4::uuid)
		ORDER BY created_at DESC, id DESC LIMIT $1::bigint OFFSET $2::bigint) p
	CROSS JOIN LATERAL (
		SELECT available, version FROM stock WHERE product_id = p.id LIMIT 1) s
	ORDER BY p.created_at DESC, p.id DESC`

const filters = `p.status = 'active'
	AND ($3::text IS NULL OR p.category = ANY (ARRAY(
		SELECT below.slug FROM categories top
		JOIN categories below ON below.path = top.path
			OR below.path LIKE top.path || '/%'
		WHERE top.slug = $3)))
	AND ($4::text[] IS NULL OR p.tags @> $4)
	AND p.price_minor BETWEEN $5::bigint AND $6::bigint
	AND (NOT $7::boolean OR s.available > 0)
	AND ($8::uuid IS NULL OR p.seller_id = $8) `

const productsByRelevance = `WITH hits AS MATERIALIZED (
		SELECT p.id, ts_rank(p.search, websearch_to_tsquery('english', $9)) AS rank
		FROM products p JOIN stock s ON s.product_id = p.id WHERE ` + filters + `
		AND p.search @@ websearch_to_tsquery('english', $9::text)
		ORDER BY rank DESC, p.id LIMIT 1000),
	alike AS MATERIALIZED (
		SELECT p.id, l.likeness AS rank
		FROM products_like($9) l
		JOIN products p USING (id)
		JOIN stock s ON s.product_id = p.id
		WHERE NOT EXISTS (SELECT FROM hits) AND ` + filters + `
		ORDER BY rank DESC, p.id LIMIT 1000)
	SELECT ` + productColumns + `FROM (
		SELECT * FROM (SELECT * FROM hits UNION ALL SELECT * FROM alike) either
		ORDER BY rank DESC, id LIMIT $1::bigint OFFSET $2::bigint) found
	JOIN products p USING (id)
	JOIN stock s ON s.product_id = p.id
	ORDER BY found.rank DESC, p.id`

func scanProduct(row pgx.Row) (product, error) {
	var p product
	var updatedAt time.Time
	err := row.Scan(&p.ID, &p.SellerID, &p.Name, &p.Description, &p.PriceMinor, &p.Currency, &p.Category,
		&p.Tags, &p.SKU, &p.ImageURL, &p.version, &p.createdAt, &updatedAt, &p.StockQuantity, &p.stockVersion)
	p.Price = money(p.PriceMinor)
	p.CreatedAt, p.UpdatedAt = moment(p.createdAt), moment(updatedAt)
	return p, err
}

func collectProducts(rows pgx.Rows, err error) ([]product, error) {
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (product, error) { return scanProduct(row) })
}

// ---- one product ----

func (p *products) read(w http.ResponseWriter, r *http.Request) error {
	id, err := uuid.Parse(r.PathValue("id"))
	if err != nil {
		return errNotFound
	}
	etag, body, err := p.cached(r.Context(), id)
	if err != nil {
		return err
	}
	return writeTagged(w, r, etag, body)
}

func cacheKey(id uuid.UUID) string { return "peer:product:" + id.String() }

// cached gives the ETag and the body; in Redis they are one text with a line end between them.
func (p *products) cached(ctx context.Context, id uuid.UUID) (string, []byte, error) {
	if p.redis == nil {
		return p.load(ctx, id)
	}
	if text, err := p.redis.Get(ctx, cacheKey(id)).Bytes(); err == nil {
		etag, body, _ := bytes.Cut(text, []byte{'\n'})
		return string(etag), body, nil
	}
	etag, body, err := p.load(ctx, id)
	if err == nil {
		p.redis.Set(ctx, cacheKey(id), etag+"\n"+string(body), cacheTTL)
	}
	return etag, body, err
}

func (p *products) load(ctx context.Context, id uuid.UUID) (string, []byte, error) {
	found, err := scanProduct(p.db.QueryRow(ctx, productGet, id))
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil, errNotFound
	}
	if err != nil {
		return "", nil, err
	}
	body, err := json.Marshal(&found)
	return fmt.Sprintf(`"%d.%d"`, found.version, found.stockVersion), body, err
}

// ---- lists ----

func limitOf(r *http.Request) (int, error) {
	text := r.URL.Query().Get("limit")
	if text == "" {
		return limitDefault, nil
	}
	limit, err := strconv.Atoi(text)
	if err != nil || limit < 1 || limit > limitMax {
		return 0, refuse(http.StatusUnprocessableEntity, "limit must be a number from 1 to %d", limitMax)
	}
	return limit, nil
}

func (p *products) list(w http.ResponseWriter, r *http.Request) error {
	limit, err := limitOf(r)
	if err != nil {
		return err
	}
	before, id := time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), uuid.Max
	if cursor := r.URL.Query().Get("cursor"); cursor != "" {
		if before, id, err = readCursor(cursor); err != nil {
			return refuse(http.StatusUnprocessableEntity, "the cursor is none of ours")
		}
	}
	found, err := collectProducts(p.db.Query(r.Context(), productsNewest, limit+1, 0, before, id))
	if err != nil {
		return err
	}
	return writeList(w, found, limit, func(last *product) string { return writeCursor(last.createdAt, last.ID) })
}

func writeList(w http.ResponseWriter, found []product, limit int, cursor func(last *product) string) error {
	answer := page[product]{Data: found}
	if len(found) > limit {
		answer.Data = found[:limit]
		answer.HasMore = true
		next := cursor(&found[limit-1])
		answer.NextCursor = &next
	}
	w.Header().Set("Cache-Control", "public, max-age=5")
	return writeJSON(w, http.StatusOK, answer)
}

func writeCursor(at time.Time, id uuid.UUID) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d %s", at.UnixMicro(), id))
}

func readCursor(cursor string) (time.Time, uuid.UUID, error) {
	text, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		return time.Time{}, uuid.Nil, err
	}
	first, second, _ := strings.Cut(string(text), " ")
	micros, err := strconv.ParseInt(first, 10, 64)
	if err != nil {
		return time.Time{}, uuid.Nil, err
	}
	id, err := uuid.Parse(second)
	return time.UnixMicro(micros), id, err
}

// Planned at each run: which index serves it depends on the values.
func (p *products) search(w http.ResponseWriter, r *http.Request) error {
	limit, err := limitOf(r)
	if err != nil {
		return err
	}
	offset, _ := strconv.Atoi(r.URL.Query().Get("cursor"))
	found, err := collectProducts(p.db.Query(r.Context(), productsByRelevance, pgx.QueryExecModeCacheDescribe,
		limit+1, offset, nil, nil, 0, priceMax, false, nil, r.URL.Query().Get("q")))
	if err != nil {
		return err
	}
	return writeList(w, found, limit, func(*product) string { return strconv.Itoa(offset + limit) })
}

// ---- reservations ----

type reservationLine struct {
	ProductID  uuid.UUID `json:"product_id"`
	Quantity   int32     `json:"quantity"`
	Name       string    `json:"name,omitempty"`
	PriceMinor int64     `json:"price_minor,omitempty"`
	Currency   string    `json:"currency,omitempty"`
	SellerID   uuid.UUID `json:"seller_id,omitzero"`
}

type reservation struct {
	Revision int32             `json:"revision"`
	State    string            `json:"state,omitempty"`
	Lines    []reservationLine `json:"lines"`
}

const reserve = `SELECT outcome, state, product_id, quantity, name, price_minor, currency, seller_id
	FROM reserve($1::uuid, $2::integer, $3::uuid[], $4::integer[], $5::bigint, $6::text)`

func (p *products) reserve(w http.ResponseWriter, r *http.Request) error {
	var wanted reservation
	orderID, err := uuid.Parse(r.PathValue("order_id"))
	if err != nil {
		return errNotFound
	}
	actor, err := checkMAC(r, p.secret)
	if err != nil {
		return err
	}
	if err := readJSON(w, r, &wanted); err != nil {
		return err
	}
	held, err := p.hold(r.Context(), orderID, &wanted, actor)
	if err != nil {
		return err
	}
	if p.redis != nil {
		keys := make([]string, len(held.Lines))
		for i, line := range held.Lines {
			keys[i] = cacheKey(line.ProductID)
		}
		p.redis.Del(r.Context(), keys...)
	}
	return writeJSON(w, http.StatusOK, held)
}

func (p *products) hold(ctx context.Context, orderID uuid.UUID, wanted *reservation, actor string) (*reservation, error) {
	ids := make([]uuid.UUID, len(wanted.Lines))
	quantities := make([]int32, len(wanted.Lines))
	for i, line := range wanted.Lines {
		ids[i], quantities[i] = line.ProductID, line.Quantity
	}
	rows, err := p.db.Query(ctx, reserve, orderID, wanted.Revision, ids, quantities, reservationTTL.Milliseconds(), actor)
	if err != nil {
		return nil, err
	}
	held := &reservation{Revision: wanted.Revision}
	outcome := "missing"
	held.Lines, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (reservationLine, error) {
		var line reservationLine
		err := row.Scan(&outcome, &held.State, &line.ProductID, &line.Quantity, &line.Name, &line.PriceMinor,
			&line.Currency, &line.SellerID)
		return line, err
	})
	if err != nil {
		return nil, err
	}
	if outcome != "ok" {
		return nil, refuse(http.StatusConflict, "the reservation is refused: %s", outcome)
	}
	return held, nil
}
