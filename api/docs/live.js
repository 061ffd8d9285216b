// SPDX-License-Identifier: Apache-2.0
// Shows one's orders changing while they do: logs in, gets a ticket, listens, and after a cut resumes by the last id.
"use strict";

const API = "/api/v1";
const CLOSE_EXPIRED = 4401;
const BAD = ["cancelled", "expired", "payment_failed"];
const at = (id) => document.getElementById(id);

let session = null; // {access_token, refresh_token?}
let stream = null; // {close()}
let lastId = null;
let attempt = 0;

// ---- the API ----

async function call(method, path, body, headers = {}) {
  const answer = await fetch(API + path, {
    method,
    headers: {
      ...(session && { Authorization: "Bearer " + session.access_token }),
      ...(body && { "Content-Type": "application/json" }),
      ...headers,
    },
    body: body && JSON.stringify(body),
  });
  const told = answer.status === 204 ? null : await answer.json();
  if (!answer.ok) throw new Error(`${answer.status} ${told.code}: ${told.detail || told.title}`);
  return told;
}

async function refresh() {
  if (!session.refresh_token) throw new Error("the access token has expired");
  const { refresh_token } = session;
  session = null;
  session = await call("POST", "/auth/refresh", { refresh_token });
}

// ---- listening ----

async function listen() {
  at("state").className = "";
  at("state").textContent = "connecting …";
  try {
    const { ticket } = await call("POST", "/events/ticket");
    const query = new URLSearchParams({ ticket, ...(lastId && { last_event_id: lastId }) });
    stream = (at("kind").value === "ws" ? openSocket : openEvents)(query);
  } catch (error) {
    if (error.message.startsWith("401 ")) lost(CLOSE_EXPIRED, error.message);
    else lost(0, error.message);
  }
}

function openSocket(query) {
  const socket = new WebSocket(`${location.protocol.replace("http", "ws")}//${location.host}${API}/ws?${query}`);
  socket.onmessage = (message) => take(JSON.parse(message.data));
  socket.onclose = (event) => lost(event.code, event.reason);
  return { close: () => socket.close() };
}

// A ticket is good once, so the browser's own reconnecting would not get in: we reconnect.
function openEvents(query) {
  const source = new EventSource(`${API}/events?${query}`);
  let ended = false;
  const end = (code, reason) => {
    if (ended) return;
    ended = true;
    source.close();
    lost(code, reason);
  };
  source.onmessage = (message) => take(JSON.parse(message.data));
  source.addEventListener("end", (message) => {
    const { code, reason } = JSON.parse(message.data);
    end(code, reason);
  });
  source.onerror = () => end(0, "the connection is lost");
  return { close: () => end(0, "cut") };
}

async function lost(code, reason) {
  stream = null;
  at("state").className = "lost";
  at("state").textContent = "lost";
  say(`— ${code || ""} ${reason || "the connection is lost"}`);
  const wait = Math.min(500 * 2 ** attempt++, 10000) * (0.5 + Math.random() / 2);
  await new Promise((resolve) => setTimeout(resolve, wait));
  try {
    if (code === CLOSE_EXPIRED) await refresh();
    listen();
  } catch (error) {
    at("state").textContent = "log in again";
    say(`— ${error.message}`);
  }
}

function take(message) {
  attempt = 0;
  if (message.id) lastId = message.id;
  at("state").className = "live";
  at("state").textContent = "live";
  say(JSON.stringify(message));
  if (message.type.startsWith("bodega.order.")) show(message.event);
}

// ---- showing ----

function show(event) {
  const { subject, type, time, data } = event;
  let order = at(subject);
  if (!order) {
    order = document.createElement("div");
    order.className = "order";
    order.id = subject;
    order.append(text("strong", ""), " ", text("code", subject), document.createElement("ul"));
    order.lastChild.className = "steps";
    at("orders").prepend(order);
  }
  if (data.total_minor !== undefined) {
    order.firstChild.textContent = `${(data.total_minor / 100).toFixed(2)} ${data.currency}`;
  }
  const name = type.replace("bodega.order.", "");
  const step = text("li", name + " ");
  if (BAD.includes(name)) step.className = "bad";
  step.append(text("small", new Date(time).toLocaleTimeString()));
  order.lastChild.append(step);
}

function text(tag, content) {
  const element = document.createElement(tag);
  element.textContent = content;
  return element;
}

function say(line) {
  const log = at("log");
  log.append(text("div", line));
  while (log.childElementCount > 200) log.firstChild.remove();
  log.scrollTop = log.scrollHeight;
}

// ---- what one may do ----

async function attempted(what) {
  try {
    await what();
  } catch (error) {
    say(`— ${error.message}`);
  }
}

function begin(made) {
  session = made;
  lastId = null;
  for (const id of ["buy", "order", "cut"]) at(id).disabled = false;
  if (stream) stream.close(); // it comes back as the one who is now logged in
  else listen();
}

async function place(more) {
  const products = await call("GET", "/products?in_stock=true&sort=price&limit=20");
  const product = products.data[Math.floor(Math.random() * products.data.length)];
  const items = [{ product_id: product.id, quantity: 1 }];
  await call("POST", "/orders", { items, ...more }, { "Idempotency-Key": crypto.randomUUID?.() ?? `${Math.random()}` });
}

at("login").onsubmit = (event) => {
  event.preventDefault();
  attempted(async () => begin(await call("POST", "/auth/login", { email: at("email").value, password: at("password").value })));
};
at("newcomer").onclick = () =>
  attempted(async () => {
    const email = `live-${Math.random().toString(36).slice(2)}@example.com`;
    begin(await call("POST", "/auth/register", { email, password: "a password for the live page" }));
  });
at("paste").onsubmit = (event) => {
  event.preventDefault();
  begin({ access_token: at("token").value.trim() });
};
at("kind").onchange = () => stream && stream.close();
at("cut").onclick = () => stream && stream.close();
at("order").onclick = () => attempted(() => place({}));
at("buy").onclick = () => attempted(() => place({ payment: { method: "card", token: "tok_ok" } }));
