// People at the gateway in Chromium: consent as user, key and session; declining; skipping and connecting later; another identity;
// reconnecting; at the width of a phone. Every page of the gateway on the way is looked at by an accessibility checker, and may load nothing
// from elsewhere.
//
//     node tests/browser/flows.mjs [--only NAME] [--out DIRECTORY]
//
// The host is the stand, with its upstreams asking by pages of their own. Screenshots go to target/browser/flows.

import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { mkdirSync } from "node:fs";
import { createServer } from "node:http";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { faults, launch } from "./pages.mjs";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
const DESKTOP = { width: 1280, height: 800 };
const PHONE = { width: 360, height: 740 };

/** The stand: where everything is. It ends with its standard input. */
async function stand(...flags) {
  const process = spawn("cargo", ["run", "-q", "-p", "grantway-stand", "--", ...flags], {
    cwd: ROOT,
    stdio: ["pipe", "pipe", "inherit"],
  });
  for await (const line of createInterface({ input: process.stdout })) {
    return { ...JSON.parse(line), end: () => process.stdin.end() };
  }
  throw new Error("the stand does not start");
}

/** An MCP client: registered, with a listener on loopback that hears the answers. */
async function client(gateway) {
  const answers = [];
  const server = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url, "http://127.0.0.1");
    if (pathname === "/cb") answers.push(searchParams);
    response.setHeader("Content-Type", "text/html; charset=utf-8");
    response.end("<!doctype html><html lang=en><title>Client</title><h1>Back at the client</h1></html>");
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const redirect = `http://127.0.0.1:${server.address().port}/cb`;
  const registered = await post(gateway.register, {
    client_name: "Desk Editor",
    redirect_uris: ["http://127.0.0.1/cb"],
    token_endpoint_auth_method: "none",
    grant_types: ["authorization_code", "refresh_token"],
  });
  const verifier = randomBytes(32).toString("base64url");
  const challenge = createHash("sha256").update(verifier).digest("base64url");
  const query = new URLSearchParams({
    response_type: "code",
    client_id: registered.client_id,
    redirect_uri: redirect,
    state: "s",
    code_challenge: challenge,
    code_challenge_method: "S256",
    resource: gateway.mcp,
  });
  return {
    authorize: `${gateway.base}/authorize?${query}`,
    /** The last answer, and nothing else was heard. */
    answer() {
      check(answers.length === 1, `the client heard ${answers.length} answers`);
      check(answers[0].get("state") === "s" && answers[0].get("iss") === gateway.issuer, "state or iss are not as sent");
      return answers.pop();
    },
    async token() {
      const form = new URLSearchParams({
        grant_type: "authorization_code",
        client_id: registered.client_id,
        redirect_uri: redirect,
        code: this.answer().get("code"),
        code_verifier: verifier,
      });
      const response = await fetch(`${gateway.base}/token`, { method: "POST", body: form });
      check(response.status === 200, `the token endpoint answers ${response.status}`);
      return (await response.json()).access_token;
    },
    close: () => server.close(),
  };
}

async function post(url, body, headers = {}) {
  return (await send(url, body, headers)).json();
}

function send(url, body, headers) {
  return fetch(url, {
    method: "POST",
    headers: { "Content-Type": "application/json", Accept: "application/json, text/event-stream", ...headers },
    body: JSON.stringify(body),
  });
}

/** Calls a tool as a client of 2025-11-25 that can be sent to a page. */
async function call(gateway, token, name) {
  const headers = { Authorization: `Bearer ${token}`, "MCP-Protocol-Version": "2025-11-25" };
  const capabilities = { elicitation: { url: {} } };
  const begun = await send(
    gateway.mcp,
    {
      jsonrpc: "2.0",
      id: 0,
      method: "initialize",
      params: { protocolVersion: "2025-11-25", capabilities, clientInfo: { name: "desk", version: "1" } },
    },
    headers,
  );
  headers["Mcp-Session-Id"] = begun.headers.get("Mcp-Session-Id");
  return post(gateway.mcp, { jsonrpc: "2.0", id: 1, method: "tools/call", params: { name, arguments: {} } }, headers);
}

function check(holds, what) {
  if (!holds) throw new Error(what);
}

/** A browser of its own, whose pages of the gateway are looked at. */
class Person {
  constructor(context, gateway, shots) {
    Object.assign(this, { context, gateway, shots, looks: 0, lines: [] });
  }

  static async at(browser, gateway, name, shots, size, viewport) {
    const context = await browser.newContext({ viewport });
    const person = new Person(context, gateway, join(shots, `${name.replaceAll(" ", "-")}-${size}`));
    person.size = size;
    mkdirSync(person.shots, { recursive: true });
    person.page = await context.newPage();
    person.page.on("request", (request) => {
      const from = request.frame().url();
      const isPage = request.isNavigationRequest();
      if (from.startsWith(gateway.base) && !isPage) person.lines.push(`${from} loads ${request.url()}`);
    });
    // That an answer is a 4xx is said there as well, and some are meant to be.
    const isFault = (message) => message.type() === "error" && !message.text().startsWith("Failed to load resource");
    person.page.on("console", (message) => isFault(message) && person.lines.push(`the console says: ${message.text()}`));
    return person;
  }

  /** Looks at a page of the gateway; its heading. */
  async look(name) {
    const { page } = this;
    await this.settle();
    check(page.url().startsWith(this.gateway.base), `${name}: the browser is at ${page.url()}`);
    const found = await faults(page);
    this.lines.push(...found.map((line) => `${name}: ${line}`));
    await page.screenshot({ path: join(this.shots, `${String(++this.looks).padStart(2, "0")}-${name}.png`), fullPage: true });
    return page.locator("h1").innerText();
  }

  /** Somebody whom no other journey knows. */
  named(name) {
    return `${name}-${this.size}`;
  }

  async press(name) {
    await this.page.getByRole("button", { name }).first().click();
    await this.settle();
  }

  /** A page that asks for itself again is on its way. */
  async settle() {
    await this.page.waitForLoadState("load");
    await this.page.waitForFunction(() => !document.querySelector("meta[http-equiv=refresh]"));
    await this.page.waitForLoadState("load");
  }

  async follow(name) {
    await this.page.getByRole("link", { name }).first().click();
    await this.page.waitForLoadState("load");
  }

  /** The host's own login, for whoever is sent there. */
  async signIn(user) {
    await this.page.getByLabel("User").fill(user);
    await this.press("Sign in");
  }

  async allow() {
    check(!this.page.url().startsWith(this.gateway.base), "the upstream does not ask");
    await this.press("Allow");
  }

  async end() {
    await this.context.close();
    return this.lines;
  }
}

const journeys = {
  async "as a user"(person, gateway, app) {
    await person.page.goto(app.authorize);
    check((await person.look("identify")) === "Who are you?", "nobody is asked who they are");
    await person.follow("Sign in");
    await person.signIn(person.named("alice"));
    await person.look("identify-signed-in");
    await person.press(`Continue as ${person.named("alice")}`);
    check((await person.look("services")) === "Connect your accounts", "no services are offered");
    await person.press("Connect notes");
    await person.allow();
    await person.look("services-connected");
    await person.press("Skip files");
    await person.look("services-skipped");
    await person.follow("Continue to approval");
    check((await person.look("approve")).includes("Desk Editor"), "the client is not named");
    await person.press("Approve");
    check(person.page.url().includes("/cb?"), `the browser is at ${person.page.url()}`);
    const token = await app.token();
    const used = await call(gateway, token, "notes");
    check(used.result && !used.result.isError, `the tool says ${JSON.stringify(used)}`);
  },

  async "with a key"(person, gateway, app) {
    await person.page.goto(app.authorize);
    await person.look("identify");
    await person.page.getByRole("textbox", { name: "API key" }).fill("wrong");
    await person.press("Continue with this key");
    await person.look("identify-wrong-key");
    check(await person.page.getByRole("alert").isVisible(), "the wrong key is not told");
    await person.page.getByRole("textbox", { name: "API key" }).fill(`stand-key-robot-${person.size}`);
    await person.press("Continue with this key");
    await person.look("services");
    await person.press("Connect notes");
    await person.allow();
    await person.follow("Continue to approval");
    await person.look("approve");
    await person.press("Approve");
    const said = await call(gateway, await app.token(), "whoami");
    check(JSON.stringify(said).includes("robot"), `it is not the key's holder: ${JSON.stringify(said)}`);
  },

  async "without an account"(person, gateway, app) {
    await person.page.goto(app.authorize);
    await person.press("Continue without an account");
    await person.look("services");
    await person.press("Connect notes");
    await person.allow();
    await person.follow("Continue to approval");
    await person.look("approve");
    await person.press("Approve");
    const used = await call(gateway, await app.token(), "notes");
    check(used.result && !used.result.isError, `the tool says ${JSON.stringify(used)}`);
    await person.page.goto(gateway.connections);
    await person.look("connections");
  },

  async declines(person, gateway, app) {
    await person.page.goto(app.authorize);
    await person.press("Continue without an account");
    await person.press("Connect notes");
    await person.press("Deny");
    await person.look("upstream-denied");
    await person.follow("Back");
    await person.look("services");
    await person.press("Deny");
    check(app.answer().get("error") === "access_denied", "the client does not hear that it was declined");
  },

  async "skips and connects later"(person, gateway, app) {
    await person.page.goto(app.authorize);
    await person.follow("Sign in");
    await person.signIn(person.named("bob"));
    await person.press(`Continue as ${person.named("bob")}`);
    await person.follow("Continue to approval");
    await person.press("Approve");
    const token = await app.token();
    const refused = await call(gateway, token, "notes");
    check(refused.error?.code === -32042, `no challenge: ${JSON.stringify(refused)}`);
    const [{ url }] = refused.error.data.elicitations;
    await person.page.goto(url);
    await person.look("connect");
    await person.press("Continue");
    await person.allow();
    await person.look("connections");
    const used = await call(gateway, token, "notes");
    check(used.result && !used.result.isError, `the tool says ${JSON.stringify(used)}`);
    // And again, after taking it away.
    await person.press("Disconnect notes");
    await person.look("disconnected");
    check((await call(gateway, token, "notes")).error?.code === -32042, "the connection outlives its end");
    await person.press("Connect notes");
    await person.allow();
    await person.look("reconnected");
    check(!(await call(gateway, token, "notes")).error, "the reconnected account is not used");
    await person.press("Sign out Desk Editor");
    await person.look("signed-out");
    const response = await fetch(gateway.mcp, { method: "POST", headers: { Authorization: `Bearer ${token}` }, body: "{}" });
    check(response.status === 401, `a token that was signed out is answered with ${response.status}`);
  },

  async "becomes somebody else"(person, gateway, app) {
    await person.page.goto(app.authorize);
    await person.follow("Sign in");
    await person.signIn(person.named("carol"));
    await person.press(`Continue as ${person.named("carol")}`);
    await person.press("Connect notes");
    await person.allow();
    await person.press("Not you?");
    await person.look("identify-again");
    await person.press("Continue without an account");
    await person.look("services-of-nobody");
    const connected = await person.page.getByRole("button", { name: "Connect notes" }).count();
    check(connected === 1, "what was staged for the one is there for the other");
    // Back and forth, and a form sent twice, do no harm.
    await person.follow("Continue to approval");
    await person.page.goBack();
    await person.page.goForward();
    await person.press("Approve");
    await app.token();
  },

  async "two clients in two tabs"(person, gateway, app) {
    const other = await client(gateway);
    const second = await person.context.newPage();
    await person.page.goto(app.authorize);
    await person.press("Continue without an account");
    await second.goto(other.authorize);
    await second.getByRole("button", { name: "Continue without an account" }).click();
    await second.waitForLoadState("load");
    await second.getByRole("link", { name: "Continue to approval" }).click();
    await second.getByRole("button", { name: "Approve" }).click();
    await second.waitForURL(/\/cb\?/);
    await other.token();
    // The first tab belongs to a session that this browser no longer has: it asks again, and loses nothing of others.
    await person.page.reload();
    await person.look("identify-again");
    await person.press("Continue without an account");
    await person.follow("Continue to approval");
    await person.press("Approve");
    await app.token();
    other.close();
  },
};

async function main() {
  const { values } = parseArgs({ options: { only: { type: "string" }, out: { type: "string" } } });
  const shots = values.out ?? join(ROOT, "target", "browser", "flows");
  const gateway = await stand("--identity", "user,key,session", "--ask");
  const browser = await launch();
  let [passed, wrong] = [0, 0];
  const chosen = Object.entries(journeys).filter(([name]) => !values.only || name === values.only);
  check(chosen.length, `there is no journey \`${values.only}\``);
  for (const [name, journey] of chosen) {
    for (const [size, viewport] of Object.entries({ desktop: DESKTOP, phone: PHONE })) {
      const app = await client(gateway);
      const person = await Person.at(browser, gateway, name, shots, size, viewport);
      const lines = [];
      try {
        await journey(person, gateway, app);
      } catch (error) {
        lines.push(error.message);
        await person.page.screenshot({ path: join(person.shots, "fault.png"), fullPage: true });
      }
      lines.push(...(await person.end()));
      app.close();
      lines.forEach((line) => console.error(`FAILED ${name}, ${size}: ${line}`));
      if (!lines.length) console.log(`ok     ${name}, ${size}: ${person.looks} pages looked at`);
      passed += !lines.length;
      wrong += lines.length;
    }
  }
  await browser.close();
  gateway.end();
  console.log(`${passed} of ${2 * chosen.length} journeys, ${wrong} faults; screenshots in ${shots}`);
  process.exitCode = wrong ? 1 : 0;
}

await main();
