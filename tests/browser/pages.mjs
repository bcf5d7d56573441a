// Looks at one of each page of the gateway in Chromium: narrow and wide, light and dark, with an accessibility checker.
//
//     node tests/browser/pages.mjs [--only NAME] [--out DIRECTORY]
//
// Pages come from `cargo run --example pages` of the core, and are served with the headers they have in earnest. Screenshots go to
// target/browser. Every fault is a line on standard error; the program ends with 1 if there is one.

import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { chromium } from "playwright-core";

const HERE = dirname(fileURLToPath(import.meta.url));
const ROOT = join(HERE, "..", "..");
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const WIDTHS = [1280, 390, 320];
const SCHEMES = ["light", "dark"];
/** CSS pixels; WCAG 2.5.5. */
const TARGET = 44;

export const browserArguments = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

export function launch() {
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: browserArguments });
}

/** What a page has that it must not have, as lines. The page is open already. */
export async function faults(page) {
  await page.evaluate(AXE);
  const { violations, incomplete } = await page.evaluate(() =>
    axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }),
  );
  const lines = violations.flatMap((rule) => rule.nodes.map((node) => `axe ${rule.id}: ${rule.help}: ${node.target}`));
  // What axe could not decide is a fault as well, but for contrast over things it cannot see through, of which pages have none.
  lines.push(...incomplete.flatMap((rule) => rule.nodes.map((node) => `axe ${rule.id}, undecided: ${node.target}`)));
  lines.push(...(await page.evaluate(layout, TARGET)));
  return lines;
}

/** Runs in the page. */
function layout(target) {
  const lines = [];
  const root = document.scrollingElement;
  if (root.scrollWidth > root.clientWidth) lines.push(`it is ${root.scrollWidth} px wide in a window of ${root.clientWidth}`);
  for (const control of document.querySelectorAll("a, button, input:not([type=hidden])")) {
    const { width, height } = control.getBoundingClientRect();
    if (width < target || height < target) lines.push(`a target of ${width} × ${height}: ${control.textContent.trim()}`);
  }
  return lines;
}

/** Goes through the page by the Tab key: every control is met once, in the order of the page, and shows that it has the focus. */
async function keyboard(page) {
  const controls = await page.locator("a, button, input:not([type=hidden])").count();
  const lines = [];
  for (let at = 0; at < controls; at++) {
    await page.keyboard.press("Tab");
    const met = await page.evaluate(() => {
      const all = [...document.querySelectorAll("a, button, input:not([type=hidden])")];
      const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement);
      return { at: all.indexOf(document.activeElement), visible: outlineStyle !== "none" && parseFloat(outlineWidth) >= 2 };
    });
    if (met.at !== at) lines.push(`Tab ${at + 1} comes to control ${met.at + 1}`);
    if (!met.visible) lines.push(`control ${at + 1} does not show the focus`);
  }
  return lines;
}

function examples() {
  const command = ["run", "-q", "-p", "grantway-core", "--features", "seam", "--example", "pages"];
  return JSON.parse(execFileSync("cargo", command, { cwd: ROOT, maxBuffer: 1 << 26, stdio: ["ignore", "pipe", "inherit"] }));
}

async function main() {
  const { values } = parseArgs({ options: { only: { type: "string" }, out: { type: "string" } } });
  const out = values.out ?? join(ROOT, "target", "browser");
  mkdirSync(out, { recursive: true });
  const { policy, pages } = examples();
  const server = createServer((request, response) => {
    const html = pages[request.url.slice(1)];
    // Where the page that goes on by itself goes: 204 leaves the browser where it is, so that the page can be looked at.
    const status = html ? 200 : request.url.startsWith("/authorize?") ? 204 : 404;
    response.writeHead(status, { "Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": policy });
    response.end(html);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const origin = `http://127.0.0.1:${server.address().port}`;
  const browser = await launch();
  const names = Object.keys(pages).filter((name) => !values.only || name === values.only);
  if (!names.length) throw new Error(`there is no page \`${values.only}\``);
  let [looks, wrong] = [0, 0];
  for (const name of names) {
    for (const width of WIDTHS) {
      for (const colorScheme of SCHEMES) {
        const context = await browser.newContext({ viewport: { width, height: 800 }, colorScheme });
        const page = await context.newPage();
        const lines = [];
        page.on("console", (message) => message.type() === "error" && lines.push(`the console says: ${message.text()}`));
        page.on("request", (request) => {
          const { origin: to, pathname } = new URL(request.url());
          if (to !== origin || ![`/${name}`, "/authorize"].includes(pathname)) lines.push(`it loads ${request.url()}`);
        });
        await page.goto(`${origin}/${name}`, { waitUntil: "domcontentloaded" });
        lines.push(...(await faults(page)), ...(await keyboard(page)));
        await page.evaluate(() => document.activeElement.blur());
        await page.screenshot({ path: join(out, `${name}-${width}-${colorScheme}.png`), fullPage: true });
        await context.close();
        looks++;
        wrong += lines.length;
        for (const line of lines) console.error(`${name}, ${width} px, ${colorScheme}: ${line}`);
      }
    }
  }
  await browser.close();
  server.close();
  console.log(`${names.length} pages, looked at ${looks} times, ${wrong} faults; screenshots in ${out}`);
  process.exitCode = wrong ? 1 : 0;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
