// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	currency    = "USD"
	orderTTL    = 30 * time.Minute
	stepLease   = 30 * time.Second
	itemsMax    = 100
	quantityMax = 10_000
	macSkew     = time.Minute
	macHeader   = "Peer-Mac"
)

type orders struct {
	db       *pgxpool.Pool
	keys     *keySet
	products string
	client   *http.Client
	secret   []byte

	payments       string
	paymentsSecret []byte
}

type newOrder struct {
	Items           []newItem       `json:"items"`
	Payment         *newPayment     `json:"payment"`
	ShippingAddress json.RawMessage `json:"shipping_address"`
	Metadata        json.RawMessage `json:"metadata"`
}

type newItem struct {
	ProductID uuid.UUID `json:"product_id"`
	Quantity  int32     `json:"quantity"`
}

type order struct {
	ID              uuid.UUID       `json:"id"`
	UserID          uuid.UUID       `json:"user_id"`
	Status          string          `json:"status"`
	Version         int64           `json:"version"`
	Items           []orderItem     `json:"items"`
	Currency        string          `json:"currency"`
	Subtotal        money           `json:"subtotal"`
	SubtotalMinor   int64           `json:"subtotal_minor"`
	Shipping        money           `json:"shipping"`
	ShippingMinor   int64           `json:"shipping_minor"`
	Tax             money           `json:"tax"`
	TaxMinor        int64           `json:"tax_minor"`
	Total           money           `json:"total"`
	TotalMinor      int64           `json:"total_minor"`
	ShippingAddress json.RawMessage `json:"shipping_address"`
	Metadata        json.RawMessage `json:"metadata"`
	CreatedAt       moment          `json:"created_at"`
	UpdatedAt       moment          `json:"updated_at"`
	ExpiresAt       moment          `json:"expires_at"`
	Payment         *orderPayment   `json:"payment"`
}

type orderItem struct {
	ID         uuid.UUID `json:"id"`
	ProductID  uuid.UUID `json:"product_id"`
	SellerID   uuid.UUID `json:"seller_id"`
	Name       string    `json:"name"`
	Quantity   int32     `json:"quantity"`
	Price      money     `json:"price"`
	PriceMinor int64     `json:"price_minor"`
	Total      money     `json:"total"`
	TotalMinor int64     `json:"total_minor"`
}

func ordersHandler(o *orders) http.Handler {
	o.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: 10 * time.Second}
	mux := http.NewServeMux()
	mux.Handle("POST /api/v1/orders", handler(o.create))
	return mux
}

const orderBegin = `INSERT INTO orders (id, user_id, currency, shipping_address, metadata, step_goal,
		step_actor, expires_at, lease_until)
	VALUES ($1, $2, $3, $4::text::json, $5::text::json, 'pending', $6,
		now() + $7::bigint * interval '1 microsecond',
		now() + $8::bigint * interval '1 microsecond')
	RETURNING lease_token`

const orderPlace = `WITH placed AS (
		UPDATE orders
		SET status = 'pending', version = 1, subtotal_minor = $3, shipping_minor = $4,
			tax_minor = $5, total_minor = $6, updated_at = now(), step = 'idle',
			step_goal = NULL, step_actor = NULL, lease_until = NULL, attempts = 0,
			needs_attention = false
		WHERE id = $1 AND lease_token = $2 AND status = 'reserving'
		RETURNING id, version, created_at, updated_at, expires_at),
	lines AS (
		INSERT INTO order_items
			(id, order_id, product_id, seller_id, name, unit_price_minor, quantity)
		SELECT l.id, p.id, l.product_id, l.seller_id, l.name, l.unit_price_minor,
			l.quantity
		FROM placed p, unnest($8::uuid[], $9::uuid[], $10::uuid[], $11::text[],
			$12::bigint[], $13::integer[]) AS l
			(id, product_id, seller_id, name, unit_price_minor, quantity)),
	event AS (
		INSERT INTO order_history (order_id, version, to_status, actor)
		SELECT id, version, 'pending', $7 FROM placed)
	SELECT version, created_at, updated_at, expires_at FROM placed`

// create writes the intent, reserves at products, and places the order: each step is durable before the next begins.
func (o *orders) create(w http.ResponseWriter, r *http.Request) error {
	var wanted newOrder
	caller, err := o.keys.verify(r)
	if err != nil {
		return err
	}
	if err := readJSON(w, r, &wanted); err != nil {
		return err
	}
	placed, err := itemsOf(&wanted)
	if err != nil {
		return err
	}
	placed.ID, placed.UserID = uuid.Must(uuid.NewV7()), caller.id
	actor := "user:" + caller.Subject
	lease, err := o.begin(r.Context(), placed, actor)
	if err != nil {
		return err
	}
	if err := o.reserve(r.Context(), placed, actor); err != nil {
		return err // the intent is left for a recovery worker
	}
	if err := o.place(r.Context(), placed, lease, actor, wanted.Payment); err != nil {
		return err
	}
	if wanted.Payment != nil {
		if err := o.pay(r.Context(), placed, lease, actor, wanted.Payment); err != nil {
			return err // likewise
		}
	}
	w.Header().Set("Location", "/api/v1/orders/"+placed.ID.String())
	w.Header().Set("ETag", fmt.Sprintf(`"%d"`, placed.Version))
	w.Header().Set("Cache-Control", "no-store")
	return writeJSON(w, http.StatusCreated, placed)
}

// itemsOf checks the items, and adds up those of one product.
func itemsOf(wanted *newOrder) (*order, error) {
	if len(wanted.Items) < 1 || len(wanted.Items) > itemsMax {
		return nil, refuse(http.StatusUnprocessableEntity, "items: needs 1 to %d", itemsMax)
	}
	o := &order{Currency: currency, ShippingAddress: wanted.ShippingAddress, Metadata: wanted.Metadata}
	at := make(map[uuid.UUID]int, len(wanted.Items))
	for i, item := range wanted.Items {
		if item.Quantity < 1 || item.Quantity > quantityMax {
			return nil, refuse(http.StatusUnprocessableEntity, "items[%d].quantity: must be 1 to %d", i, quantityMax)
		}
		if known, ok := at[item.ProductID]; ok {
			o.Items[known].Quantity += item.Quantity
			continue
		}
		at[item.ProductID] = len(o.Items)
		o.Items = append(o.Items, orderItem{
			ID: uuid.Must(uuid.NewV7()), ProductID: item.ProductID, Quantity: item.Quantity})
	}
	return o, nil
}

func (o *orders) begin(ctx context.Context, placed *order, actor string) (lease int64, err error) {
	err = o.db.QueryRow(ctx, orderBegin, placed.ID, placed.UserID, placed.Currency, text(placed.ShippingAddress),
		text(placed.Metadata), actor, orderTTL.Microseconds(), stepLease.Microseconds()).Scan(&lease)
	return lease, err
}

func text(json json.RawMessage) *string {
	if json == nil {
		return nil
	}
	s := string(json)
	return &s
}

func (o *orders) reserve(ctx context.Context, placed *order, actor string) error {
	wanted := reservation{Revision: 1, Lines: make([]reservationLine, len(placed.Items))}
	for i, item := range placed.Items {
		wanted.Lines[i] = reservationLine{ProductID: item.ProductID, Quantity: item.Quantity}
	}
	body, err := json.Marshal(wanted)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPut,
		o.products+"/internal/reservations/"+placed.ID.String(), bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	signMAC(request, body, o.secret, actor)
	answer, err := o.client.Do(request)
	if err != nil {
		return refuse(http.StatusServiceUnavailable, "products is away")
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return refuse(answer.StatusCode, "products refused the reservation")
	}
	var held reservation
	if err := json.NewDecoder(answer.Body).Decode(&held); err != nil {
		return err
	}
	return takeOver(placed, &held)
}

// takeOver fills in names, sellers and prices, and adds up.
func takeOver(placed *order, held *reservation) error {
	for i := range placed.Items {
		item := &placed.Items[i]
		found := false
		for _, line := range held.Lines {
			if line.ProductID == item.ProductID && line.Quantity == item.Quantity {
				item.Name, item.SellerID = line.Name, line.SellerID
				item.PriceMinor, item.TotalMinor = line.PriceMinor, line.PriceMinor*int64(line.Quantity)
				item.Price, item.Total = money(item.PriceMinor), money(item.TotalMinor)
				placed.SubtotalMinor += item.TotalMinor
				found = true
			}
		}
		if !found {
			return refuse(http.StatusBadGateway, "products holds something else than the order asks for")
		}
	}
	placed.TotalMinor = placed.SubtotalMinor + placed.ShippingMinor + placed.TaxMinor
	placed.Subtotal, placed.Total = money(placed.SubtotalMinor), money(placed.TotalMinor)
	return nil
}

func (o *orders) place(ctx context.Context, placed *order, lease int64, actor string, payment *newPayment) error {
	n := len(placed.Items)
	ids, productIDs, sellerIDs := make([]uuid.UUID, n), make([]uuid.UUID, n), make([]uuid.UUID, n)
	names, prices, quantities := make([]string, n), make([]int64, n), make([]int32, n)
	for i, item := range placed.Items {
		ids[i], productIDs[i], sellerIDs[i] = item.ID, item.ProductID, item.SellerID
		names[i], prices[i], quantities[i] = item.Name, item.PriceMinor, item.Quantity
	}
	var createdAt, updatedAt, expiresAt time.Time
	statement, values := orderPlace, []any{placed.ID, lease, placed.SubtotalMinor, placed.ShippingMinor, placed.TaxMinor,
		placed.TotalMinor, actor, ids, productIDs, sellerIDs, names, prices, quantities}
	if payment != nil {
		statement, values = orderPlacePaying, append(values, payment.Token, stepLease.Microseconds())
	}
	err := o.db.QueryRow(ctx, statement, values...).Scan(&placed.Version, &createdAt, &updatedAt, &expiresAt)
	placed.Status = "pending"
	placed.CreatedAt, placed.UpdatedAt, placed.ExpiresAt = moment(createdAt), moment(updatedAt), moment(expiresAt)
	return err
}

// ---- between the services ----

func macOf(secret []byte, method, path, actor, at string, body []byte) string {
	digest := sha256.Sum256(body)
	mac := hmac.New(sha256.New, secret)
	fmt.Fprintf(mac, "%s\n%s\n%s\n%s\n", method, path, actor, at)
	mac.Write(digest[:])
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func signMAC(request *http.Request, body, secret []byte, actor string) {
	at := strconv.FormatInt(time.Now().Unix(), 10)
	mac := macOf(secret, request.Method, request.URL.Path, actor, at, body)
	request.Header.Set(macHeader, actor+" "+at+" "+mac)
}

// checkMAC gives the actor; the body is put back for the handler to read.
func checkMAC(r *http.Request, secret []byte) (string, error) {
	words := strings.Fields(r.Header.Get(macHeader))
	if len(words) != 3 {
		return "", refuse(http.StatusUnauthorized, "needs a MAC")
	}
	at, err := strconv.ParseInt(words[1], 10, 64)
	if err != nil || time.Since(time.Unix(at, 0)).Abs() > macSkew {
		return "", refuse(http.StatusUnauthorized, "the MAC is of another time")
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, bodyBytesMax))
	if err != nil {
		return "", err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if !hmac.Equal([]byte(macOf(secret, r.Method, r.URL.Path, words[0], words[1], body)), []byte(words[2])) {
		return "", refuse(http.StatusUnauthorized, "the MAC is wrong")
	}
	return words[0], nil
}
