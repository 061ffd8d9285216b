// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"
)

// Paying by card, as Bodega's orders does it: authorise, sell what is held, capture. Each step is durable before the next
// begins. The provider is the same program for both.

type newPayment struct {
	Method string `json:"method"`
	Token  string `json:"token"`
}

type orderPayment struct {
	Method      string `json:"method"`
	Status      string `json:"status"`
	AmountMinor int64  `json:"amount_minor"`
	Amount      money  `json:"amount"`
}

const orderPlacePaying = `WITH placed AS (
		UPDATE orders
		SET status = 'pending', version = 1, subtotal_minor = $3, shipping_minor = $4,
			tax_minor = $5, total_minor = $6, updated_at = now(), step = 'authorising',
			step_goal = 'paid', attempts = 0, needs_attention = false,
			lease_until = now() + $15::bigint * interval '1 microsecond'
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
		SELECT id, version, 'pending', $7 FROM placed),
	payment AS (
		INSERT INTO order_payments
			(order_id, attempt, method, status, amount_minor, token, is_last)
		SELECT id, 1, 'card', 'processing', $6, $14, true FROM placed)
	SELECT version, created_at, updated_at, expires_at FROM placed`

const orderAdvance = `WITH moved AS (
		UPDATE orders
		SET step = $4, lease_until = now() + $5::bigint * interval '1 microsecond'
		WHERE id = $1 AND lease_token = $2 AND step = $3
		RETURNING id)
	UPDATE order_payments
	SET sold = $6, token = NULL, updated_at = now()
	FROM moved
	WHERE order_id = moved.id AND status = 'processing'`

const orderFinish = `WITH changed AS (
		UPDATE orders
		SET status = 'paid', version = version + 1, updated_at = now(), step = 'idle', step_goal = NULL,
			step_actor = NULL, lease_until = NULL, attempts = 0, needs_attention = false
		WHERE id = $1 AND lease_token = $2 AND status = 'pending' AND step <> 'idle'
		RETURNING id, version, updated_at),
	payment AS (
		UPDATE order_payments
		SET status = 'captured', token = NULL, updated_at = now()
		FROM changed
		WHERE order_id = changed.id AND status = 'processing'),
	history AS (
		INSERT INTO order_history (order_id, version, from_status, to_status, actor)
		SELECT id, version, 'pending', 'paid', $3 FROM changed)
	SELECT version, updated_at FROM changed`

func (o *orders) pay(ctx context.Context, placed *order, lease int64, actor string, payment *newPayment) error {
	key := "/internal/payments/" + placed.ID.String() + "-1"
	status, err := o.provider(ctx, http.MethodPut, key, actor, map[string]any{"order_id": placed.ID,
		"amount_minor": placed.TotalMinor, "currency": placed.Currency, "token": payment.Token})
	if err != nil {
		return err
	}
	if status != "authorised" {
		return refuse(http.StatusPaymentRequired, "the card is %s", status)
	}
	if err := o.advance(ctx, placed, lease, "authorising", "committing", false); err != nil {
		return err
	}
	if err := o.sell(ctx, placed, actor); err != nil {
		return err
	}
	if err := o.advance(ctx, placed, lease, "committing", "capturing", true); err != nil {
		return err
	}
	if _, err := o.provider(ctx, http.MethodPost, key+"/capture", actor, struct{}{}); err != nil {
		return err
	}
	var updatedAt time.Time
	err = o.db.QueryRow(ctx, orderFinish, placed.ID, lease, actor).Scan(&placed.Version, &updatedAt)
	placed.Status, placed.UpdatedAt = "paid", moment(updatedAt)
	placed.Payment = &orderPayment{"card", "captured", placed.TotalMinor, placed.Total}
	return err
}

func (o *orders) advance(ctx context.Context, placed *order, lease int64, from, to string, sold bool) error {
	tag, err := o.db.Exec(ctx, orderAdvance, placed.ID, lease, from, to, stepLease.Microseconds(), sold)
	if err == nil && tag.RowsAffected() != 1 {
		return refuse(http.StatusConflict, "the order has changed in the meantime")
	}
	return err
}

func (o *orders) sell(ctx context.Context, placed *order, actor string) error {
	body := []byte("{}")
	request, err := http.NewRequestWithContext(ctx, http.MethodPost,
		o.products+"/internal/reservations/"+placed.ID.String()+"/commit", bytes.NewReader(body))
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
	_, _ = io.Copy(io.Discard, answer.Body)
	if answer.StatusCode != http.StatusOK {
		return refuse(answer.StatusCode, "products did not sell")
	}
	return nil
}

// provider calls payments and gives the payment's status. The MAC is Bodega's (pkg/auth/mac.h).
func (o *orders) provider(ctx context.Context, method, path, actor string, value any) (string, error) {
	body, err := json.Marshal(value)
	if err != nil {
		return "", err
	}
	request, err := http.NewRequestWithContext(ctx, method, o.payments+path, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Bodega-Mac", bodegaMAC(o.paymentsSecret, method, path, actor, body))
	answer, err := o.client.Do(request)
	if err != nil {
		return "", refuse(http.StatusServiceUnavailable, "payments is away")
	}
	defer answer.Body.Close()
	var payment struct{ Status string }
	if err := json.NewDecoder(answer.Body).Decode(&payment); err != nil {
		return "", err
	}
	if answer.StatusCode != http.StatusOK {
		return "", refuse(http.StatusBadGateway, "payments answered with %d", answer.StatusCode)
	}
	return payment.Status, nil
}

func bodegaMAC(secret []byte, method, target, actor string, body []byte) string {
	var nonce [16]byte
	_, _ = rand.Read(nonce[:])
	digest := sha256.Sum256(body)
	at, once := strconv.FormatInt(time.Now().Unix(), 10), base64.RawURLEncoding.EncodeToString(nonce[:])
	mac := hmac.New(sha256.New, secret)
	fmt.Fprint(mac, "bodega-mac-v1")
	for _, part := range []string{"orders", "payments", actor, at, once, "", method, target, string(digest[:])} {
		fmt.Fprintf(mac, " %d %s", len(part), part)
	}
	return fmt.Sprintf("v1 orders %s %s %s %s", actor, at, once, base64.RawURLEncoding.EncodeToString(mac.Sum(nil)))
}

// commit sells what the order's reservation holds.
func (p *products) commit(w http.ResponseWriter, r *http.Request) error {
	orderID, err := uuid.Parse(r.PathValue("order_id"))
	if err != nil {
		return errNotFound
	}
	actor, err := checkMAC(r, p.secret)
	if err != nil {
		return err
	}
	var outcome string
	if err := p.db.QueryRow(r.Context(), `SELECT outcome FROM reservation_commit($1::uuid, $2::text) LIMIT 1`,
		orderID, actor).Scan(&outcome); err != nil {
		return err
	}
	if outcome != "ok" {
		return refuse(http.StatusConflict, "the reservation is %s", outcome)
	}
	return writeJSON(w, http.StatusOK, map[string]string{"state": "committed"})
}
