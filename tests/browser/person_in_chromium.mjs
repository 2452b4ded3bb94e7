// A person in a real Chromium: the setup link once, then sign-in and consent in light and dark, on a phone's and on a
// desktop's width, by keyboard and by mouse. `person_in_chromium.mjs SCREENSHOT_FOLDER` with the ready line of
// `portcullis up --ready-json` in READY; prints one JSON line.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import http from 'node:http';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const ready = JSON.parse(process.env.READY);
const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
const folder = process.argv[2];
const EMAIL = 'owner@example.com';
const PASSWORD = 'a long enough password 7';
const PATIENCE_MS = 15_000;

// A browser must not look for anything outside; as root Chromium has no sandbox of its own.
const args = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
const variants = [
  { name: 'light-1280', colorScheme: 'light', width: 1280, height: 900, by: 'mouse' },
  { name: 'dark-1280', colorScheme: 'dark', width: 1280, height: 900, by: 'keyboard' },
  { name: 'light-360', colorScheme: 'light', width: 360, height: 740, by: 'keyboard' },
  { name: 'dark-360', colorScheme: 'dark', width: 360, height: 740, by: 'mouse' },
];

const checks = [];
async function check(name, work) {
  await work();
  checks.push(name);
}

// The client application's own listener. It answers late, so that the page before it can be looked at.
const callback = { waiting: null };
const client = http.createServer((request, response) => {
  if (!request.url.startsWith('/callback')) return response.writeHead(204).end();
  callback.waiting?.({ url: request.url, answer: () => response.writeHead(200, { 'content-type': 'text/plain' }).end('back in the app') });
});
await new Promise((resolve) => client.listen(0, '127.0.0.1', resolve));
const redirectUri = `http://127.0.0.1:${client.address().port}/callback`;

async function authorizeUrl(name) {
  const metadata = await (await fetch(`${ready.issuer}/.well-known/openid-configuration`)).json();
  const body = JSON.stringify({ client_name: name, redirect_uris: [redirectUri], token_endpoint_auth_method: 'none' });
  const answer = await fetch(metadata.registration_endpoint, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
  assert.equal(answer.status, 201);
  const { client_id } = await answer.json();
  const verifier = randomBytes(32).toString('base64url');
  const url = new URL(metadata.authorization_endpoint);
  for (const [key, value] of Object.entries({
    response_type: 'code',
    client_id,
    redirect_uri: redirectUri,
    state: `state of ${name}`,
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
    resource: ready.mcp_url,
  })) {
    url.searchParams.set(key, value);
  }
  return { url: url.href, client_id, verifier, metadata };
}

// A page that writes down everything a person would not see but must not happen.
async function openContext(browser, { colorScheme, width, height }) {
  const context = await browser.newContext({ colorScheme, viewport: { width, height }, locale: 'en-GB' });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  const wrong = [];
  page.on('console', (message) => message.type() === 'error' && wrong.push(`console: ${message.text()}`));
  page.on('pageerror', (error) => wrong.push(`script: ${error}`));
  page.on('requestfailed', (request) => {
    const why = request.failure()?.errorText;
    // A page that is left does not wait for its images.
    if (why !== 'net::ERR_ABORTED') wrong.push(`failed: ${request.url()} ${why}`);
  });
  page.on('request', (request) => {
    const origin = new URL(request.url()).origin;
    if (origin !== new URL(ready.authority_url).origin && origin !== new URL(redirectUri).origin && !request.url().startsWith('data:')) {
      wrong.push(`a request to a stranger: ${request.url()}`);
    }
  });
  await context.exposeBinding('reportViolation', (_, text) => wrong.push(text));
  await page.addInitScript(() => {
    addEventListener('securitypolicyviolation', (event) => {
      globalThis.reportViolation(`CSP: ${event.violatedDirective} ${event.blockedURI}`);
    });
  });
  return { context, page, wrong };
}

async function look(page, name) {
  const { scroll, inner } = await page.evaluate(() => ({ scroll: document.documentElement.scrollWidth, inner: innerWidth }));
  assert.ok(scroll <= inner, `${name} scrolls sideways: ${scroll} > ${inner}`);
  assert.ok((await page.title()).length > 0, `${name} has no title`);
  assert.ok((await page.getAttribute('html', 'lang')) !== null, `${name} does not say its language`);
  assert.equal(await page.locator('h1').count(), 1, `${name} has not exactly one h1`);
  await page.screenshot({ path: join(folder, `${name}.png`), fullPage: true });
}

// Presses Tab until the element has the focus, as a person without a mouse does; the focus must be seen.
async function tabTo(page, selector) {
  for (let presses = 0; presses < 60; presses += 1) {
    const here = await page.evaluate((wanted) => {
      const focused = document.activeElement;
      if (!focused?.matches(wanted)) return null;
      const style = getComputedStyle(focused);
      return { seen: style.outlineStyle !== 'none' || style.boxShadow !== 'none' };
    }, selector);
    if (here) {
      assert.ok(here.seen, `nothing shows that ${selector} has the focus`);
      return;
    }
    await page.keyboard.press('Tab');
  }
  assert.fail(`the keyboard never reaches ${selector}`);
}

async function typeInto(page, by, selector, text) {
  if (by === 'mouse') await page.click(selector);
  else await tabTo(page, selector);
  await page.keyboard.press('Control+A');
  await page.keyboard.type(text);
}

async function press(page, by, selector) {
  // The approving button appears half a second late, so that nobody presses it by accident.
  await page.waitForSelector(selector, { state: 'visible' });
  if (by === 'mouse') return page.click(selector);
  await tabTo(page, selector);
  return page.keyboard.press('Enter');
}

async function setUp(browser) {
  const variant = variants[0];
  const { context, page, wrong } = await openContext(browser, variant);
  await page.goto(ready.setup_url);
  await look(page, 'setup');
  await typeInto(page, variant.by, 'input[name=email]', EMAIL);
  await typeInto(page, variant.by, 'input[name=password]', PASSWORD);
  await press(page, variant.by, 'form:has(input[name=password]) button');
  await check('the setup link signs the first person in', async () => {
    await page.waitForURL((url) => url.pathname.startsWith('/admin'));
    await look(page, 'home');
    assert.match(await page.textContent('body'), new RegExp(EMAIL));
  });
  await check('the setup pages raise no error', () => assert.deepEqual(wrong, []));
  await context.close();

  const again = await openContext(browser, variant);
  await check('the setup link works once', async () => {
    const response = await again.page.goto(ready.setup_url);
    assert.ok(response.status() >= 400, `a used link answered ${response.status()}`);
    await look(again.page, 'setup-used');
    assert.equal(await again.page.locator('input[name=password]').count(), 0);
  });
  await again.context.close();
}

async function signInAndConsent(browser, variant) {
  const { context, page, wrong } = await openContext(browser, variant);
  const request = await authorizeUrl(`Browser test ${variant.name}`);
  const { by, name } = variant;

  await page.goto(request.url);
  await look(page, `sign-in-${name}`);
  await typeInto(page, by, 'input[name=email]', EMAIL);
  await typeInto(page, by, 'input[name=password]', 'not the password');
  await press(page, by, 'form:has(input[name=password]) button');
  await check(`${name}: a wrong password says so and keeps the email`, async () => {
    await page.waitForSelector('input[name=password]');
    assert.equal(await page.inputValue('input[name=email]'), EMAIL);
    await look(page, `sign-in-refused-${name}`);
  });
  // The refusal's status is an error to Chromium's console; from here on there must be none.
  assert.deepEqual(wrong.filter((line) => !/status of 4\d\d/.test(line)), []);
  wrong.length = 0;

  await typeInto(page, by, 'input[name=password]', PASSWORD);
  await press(page, by, 'form:has(input[name=password]) button');
  await page.waitForSelector('button[name=decision][value=approve]');
  await check(`${name}: the consent page names the client, the server and its tools`, async () => {
    await look(page, `consent-${name}`);
    const words = (await page.innerText('body')).toLowerCase();
    for (const wanted of [`Browser test ${name}`, ready.mcp_url, 'unverified', EMAIL, 'program on this computer']) {
      assert.ok(words.includes(wanted.toLowerCase()), `the consent page does not say ${wanted}`);
    }
  });

  const boxes = await page.locator('input[name=scope]').evaluateAll((inputs) => inputs.map((input) => input.value));
  const withheld = boxes.at(-1);
  const box = `input[name=scope][value="${withheld}"]`;
  if (by === 'mouse') await page.click(box);
  else {
    await tabTo(page, box);
    await page.keyboard.press('Space');
  }
  assert.equal(await page.isChecked(box), false);

  const arrived = new Promise((resolve) => (callback.waiting = resolve));
  if (by === 'mouse') {
    await press(page, by, 'button[name=decision][value=approve]');
  } else {
    // A browser that does not go on by itself: the page must say what happened, and its link must lead on.
    const goesOn = new Promise((resolve) => page.route(`${redirectUri}?*`, (route) => resolve(route.abort('aborted'))));
    await press(page, by, 'button[name=decision][value=approve]');
    await goesOn;
    await look(page, `returning-${name}`);
    await page.unroute(`${redirectUri}?*`);
    await press(page, by, `a[href^="${redirectUri}"]`);
  }
  const back = await arrived;
  back.answer();
  await check(`${name}: the browser ends at the client with code, state and iss`, async () => {
    await page.waitForURL((url) => url.href.startsWith(redirectUri));
    const query = new URL(back.url, redirectUri).searchParams;
    assert.equal(query.get('state'), `state of Browser test ${name}`);
    assert.equal(query.get('iss'), ready.issuer);
    assert.ok(query.get('code'));

    const body = new URLSearchParams({
      grant_type: 'authorization_code',
      code: query.get('code'),
      redirect_uri: redirectUri,
      client_id: request.client_id,
      code_verifier: request.verifier,
    });
    const answer = await fetch(request.metadata.token_endpoint, { method: 'POST', body });
    const token = await answer.json();
    assert.equal(answer.status, 200, JSON.stringify(token));
    const granted = token.scope.split(' ');
    assert.ok(!granted.includes(withheld), `${withheld} was unticked and granted all the same`);
    for (const scope of boxes.slice(0, -1)) assert.ok(granted.includes(scope), `${scope} was ticked and is missing`);
  });
  await check(`${name}: no CSP violation, no console error, no request to a stranger`, () => assert.deepEqual(wrong, []));

  await check(`${name}: signed in already, consent comes at once and can be refused`, async () => {
    const next = await authorizeUrl(`Refused ${name}`);
    await page.goto(next.url);
    const refused = new Promise((resolve) => (callback.waiting = resolve));
    await press(page, by, 'button[name=decision][value=deny]');
    const answer = await refused;
    answer.answer();
    const query = new URL(answer.url, redirectUri).searchParams;
    assert.equal(query.get('error'), 'access_denied');
    assert.equal(query.get('iss'), ready.issuer);
    assert.equal(query.get('code'), null);
  });
  await context.close();
}

await mkdir(folder, { recursive: true });
const browser = await chromium.launch({ executablePath, headless: true, args });
let failure = null;
try {
  await setUp(browser);
  for (const variant of variants) await signInAndConsent(browser, variant);
} catch (error) {
  console.error(error);
  failure = String(error.message ?? error);
} finally {
  await browser.close();
  client.close();
}
console.log(JSON.stringify({ passed: checks.length, checks, ...(failure ? { error: failure } : {}) }));
process.exit(failure ? 1 : 0);
