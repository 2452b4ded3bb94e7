// Every page with five hundred hostile texts in every place where a stranger's words can stand, shown to Chromium under
// the page's own policy: nothing runs, nothing is fetched from a stranger, and the policy has nothing to report.
// `payloads_in_chromium.mjs FOLDER` with what the example `payloads` wrote; prints one JSON line.
import assert from 'node:assert/strict';
import { createReadStream, readFileSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { chromium } from 'playwright-core';

const folder = process.argv[2];
const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
const AT_ONCE = 250;
const PATIENCE_MS = 60_000;

const lines = createInterface({ input: createReadStream(join(folder, 'pages.ndjson')) })[Symbol.asyncIterator]();
const policies = JSON.parse((await lines.next()).value);

// Frames are quick to make by the hundred, so the one rule against being framed is left out here; it has its own test.
const policyOf = (name) => `${(policies[name] ?? policies.page).replace(/frame-ancestors 'none'; ?/, '')}; report-uri /report?${encodeURIComponent(name)}`;

let shown = new Map();
const reports = [];
const foreign = [];
const server = http.createServer((request, response) => {
  const url = new URL(request.url, 'http://pages');
  if (url.pathname.startsWith('/page/')) {
    const page = shown.get(url.pathname);
    return response
      .writeHead(200, { 'content-type': 'text/html; charset=utf-8', 'content-security-policy': policyOf(page.name) })
      .end(page.html);
  }
  if (url.pathname.startsWith('/assets/') && !url.pathname.includes('..')) {
    const type = { css: 'text/css', js: 'text/javascript' }[url.pathname.split('.').at(-1)] ?? 'image/svg+xml';
    return response.writeHead(200, { 'content-type': type, 'cache-control': 'max-age=3600' }).end(readFileSync(join(folder, url.pathname)));
  }
  if (url.pathname === '/report') {
    let body = '';
    request.on('data', (chunk) => (body += chunk));
    request.on('end', () => reports.push(`${decodeURIComponent(url.search.slice(1))}: ${body}`));
    return response.writeHead(204).end();
  }
  if (url.pathname === '/sheet') {
    const frames = [...shown.keys()].map((path) => `<iframe src="${path}" width="300" height="200"></iframe>`);
    return response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(`<!doctype html>${frames.join('')}`);
  }
  // Forms that a page posts by itself end here.
  response.writeHead(204).end();
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const origin = `http://127.0.0.1:${server.address().port}`;

const browser = await chromium.launch({
  executablePath,
  headless: true,
  args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update'],
});
const context = await browser.newContext();
const page = await context.newPage();
page.setDefaultTimeout(PATIENCE_MS);
page.on('request', (request) => {
  if (new URL(request.url()).origin !== origin && !request.url().startsWith('data:')) foreign.push(request.url());
});
const dialogs = [];
page.on('dialog', (dialog) => {
  dialogs.push(dialog.message());
  dialog.dismiss();
});

async function show(pages) {
  shown = new Map(pages.map((found, index) => [`/page/${index}`, found]));
  await page.goto(`${origin}/sheet`, { waitUntil: 'load', timeout: PATIENCE_MS });
}

const checks = [];
async function check(name, work) {
  await work();
  checks.push(name);
}

let failure = null;
let count = 0;
async function hostileTexts() {
  let batch = [];
  for await (const line of lines) {
    batch.push(JSON.parse(line));
    if (batch.length < AT_ONCE) continue;
    await show(batch);
    count += batch.length;
    batch = [];
  }
  if (batch.length > 0) await show(batch);
  count += batch.length;
  await page.waitForTimeout(500);
  assert.deepEqual(reports.slice(0, 5), [], `${reports.length} reports`);
  assert.deepEqual(dialogs, []);
  assert.deepEqual(foreign.slice(0, 5), []);
  assert.ok(count >= 500 * 10, `only ${count} pages were shown`);
}

async function openPage() {
  // The twin: the same page with one text put in as it came is noticed at once.
  const hostile = '<p>Hello <script>alert(1)</script><img src=//evil.example/x></p>';
  await show([{ name: 'unescaped', html: `<!doctype html><title>x</title>${hostile}` }]);
  await page.waitForTimeout(500);
  assert.ok(reports.length >= 2, `a page that is open to it gave ${reports.length} reports`);
  assert.deepEqual(dialogs, []);
}

try {
  await check('no hostile text runs or reaches a stranger on any page', hostileTexts);
  await check('a page that is open to it is reported', openPage);
} catch (error) {
  console.error(error);
  failure = String(error.message ?? error);
} finally {
  await browser.close();
  server.close();
}
console.log(`figure: ${count} hostile pages were shown to Chromium, ${failure ? 'and failed' : 'with 0 reports of the policy'}`);
console.log(JSON.stringify({ passed: checks.length, checks, pages: count, ...(failure ? { error: failure } : {}) }));
process.exit(failure ? 1 : 0);
