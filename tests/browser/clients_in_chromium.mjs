// How real clients open a browser, and how an attacker's page would: popup, double fetch, embedded view, many tabs,
// frames, forged forms, early keys. `clients_in_chromium.mjs` with the ready line of `portcullis up --ready-json` in
// READY, the binary in PORTCULLIS and the data directory in DATA; prints one JSON line. A word of a check's name runs that
// check alone, with the people of an earlier run.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { APPROVE, PATIENCE_MS, approve, host, launch, open, request, signIn } from './stage.mjs';

const ready = JSON.parse(process.env.READY);
const authority = new URL(ready.authority_url).origin;
const OWNER = 'owner@example.com';
const OTHER = 'other@example.com';
const PASSWORD = 'a long enough password 7';

const portcullis = (args, input) =>
  execFileSync(process.env.PORTCULLIS, [...args, '--data-dir', process.env.DATA], { input, encoding: 'utf8' }).trim();
const people = process.argv[2] ? [] : [OWNER, OTHER];
for (const email of people) portcullis(['users', 'add', email, '--password-stdin'], PASSWORD);

const only = process.argv[2];
const checks = [];
async function check(name, work) {
  const started = Date.now();
  if (only && !name.includes(only)) return;
  await work();
  checks.push(name);
  console.error(`    ${name} (${Date.now() - started} ms)`);
}

// The client's own origin: where it opens us from, and where the answer comes back to.
const app = await host((url) => {
  if (url.pathname === '/opener') {
    return [200, 'text/html', '<!doctype html><title>opener</title><script>addEventListener("message",(e)=>{(window.got??=[]).push([e.origin,e.data])})</script>'];
  }
  if (url.pathname === '/callback') {
    return [200, 'text/html', '<!doctype html><title>back</title><p>back in the app</p><script>opener?.postMessage(location.search,location.origin)</script>'];
  }
  if (url.pathname === '/frame') return [200, 'text/html', `<!doctype html><title>frame</title><iframe src="${url.searchParams.get('src').replaceAll('&', '&amp;')}" width="800" height="600"></iframe>`];
  if (url.pathname === '/forge') {
    const fields = [...url.searchParams].filter(([name]) => name !== 'action');
    const inputs = fields.map(([name, value]) => `<input name="${name}" value="${value.replaceAll('"', '&quot;')}">`).join('');
    return [200, 'text/html', `<!doctype html><title>forge</title><form method="post" action="${url.searchParams.get('action')}">${inputs}<button>go</button></form>`];
  }
  return undefined;
});
const redirectUri = `${app.origin}/callback`;
const fresh = (name, more) => request(ready, { name, redirectUri, more });
const queryOf = (page) => new URL(page.url()).searchParams;
const backAtTheApp = (page) => page.waitForURL((url) => url.href.startsWith(redirectUri));

const browser = await launch();

async function popup() {
  const { context, page, wrong } = await open(browser);
  const asked = await fresh('Popup');
  await page.goto(`${app.origin}/opener`);
  const [small] = await Promise.all([
    context.waitForEvent('page'),
    page.evaluate((url) => void window.open(url, 'sign-in', 'width=480,height=640'), asked.url),
  ]);
  small.setDefaultTimeout(PATIENCE_MS);
  await signIn(small, OWNER, PASSWORD);
  await approve(small);
  await backAtTheApp(small);
  await page.waitForFunction(() => window.got?.length > 0);
  const got = await page.evaluate(() => window.got);
  assert.equal(got.length, 1, 'no page of ours sends messages to whoever opened it');
  assert.equal(got[0][0], app.origin);
  const query = new URLSearchParams(got[0][1]);
  assert.equal(query.get('state'), asked.state);
  assert.equal((await asked.exchange(query.get('code'))).status, 200);
  assert.deepEqual(wrong, []);
  await context.close();
}

async function doubleFetch() {
  const { context, page } = await open(browser);
  const asked = await fresh('Scanned');
  const scan = async (url) => {
    for (const method of ['HEAD', 'GET', 'HEAD', 'GET']) {
      const answer = await fetch(url, { method, redirect: 'manual' });
      assert.equal(answer.status, 200, `${method} ${answer.status}`);
    }
  };
  await scan(asked.url);
  await page.goto(asked.url);
  await scan(asked.url);
  await signIn(page, OWNER, PASSWORD);
  await page.waitForSelector(APPROVE, { state: 'visible' });
  // The address after the sign-in is as harmless as the first one.
  await scan(page.url());
  await page.reload();
  await approve(page);
  await backAtTheApp(page);
  assert.equal((await asked.exchange(queryOf(page).get('code'))).status, 200);
  await context.close();
}

async function embedded() {
  // As a view inside an editor or another app: small, its own cookies, gone afterwards.
  for (const colorScheme of ['light', 'dark']) {
    const { context, page, wrong } = await open(browser, { viewport: { width: 400, height: 600 }, colorScheme });
    const asked = await fresh(`Embedded ${colorScheme}`);
    await page.goto(asked.url);
    const fits = async (name) => {
      const [scroll, inner] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
      assert.ok(scroll <= inner, `${name} scrolls sideways`);
    };
    await fits('sign-in');
    await signIn(page, OWNER, PASSWORD);
    await page.waitForSelector(APPROVE, { state: 'visible' });
    await fits('consent');
    await approve(page);
    await backAtTheApp(page);
    assert.equal((await asked.exchange(queryOf(page).get('code'))).status, 200);
    assert.deepEqual(wrong, []);
    await context.close();
  }
}

async function withoutScripts() {
  const { context, page } = await open(browser, { javaScriptEnabled: false });
  const asked = await fresh('No scripts');
  await page.goto(asked.url);
  await signIn(page, OWNER, PASSWORD);
  await approve(page);
  await backAtTheApp(page);
  assert.equal((await asked.exchange(queryOf(page).get('code'))).status, 200);
  await context.close();
}

async function manyTabs() {
  const { context, page } = await open(browser);
  const asked = await Promise.all([1, 2, 3, 4].map((number) => fresh(`Tab ${number}`)));
  const tabs = [page];
  for (let number = 1; number < 4; number += 1) tabs.push(await context.newPage());
  for (const [index, tab] of tabs.entries()) await tab.goto(asked[index].url);
  // One tab signs in; the others come after it by their own forms, by a reload, and by the same form later.
  await signIn(tabs[0], OWNER, PASSWORD);
  await tabs[0].waitForSelector(APPROVE);
  await tabs[1].reload();
  await signIn(tabs[2], OWNER, PASSWORD);
  await tabs[2].waitForSelector(APPROVE);
  await tabs[3].reload();
  for (const index of [3, 2, 1, 0]) {
    const tab = tabs[index];
    await approve(tab);
    // The sign-in of the third tab made a new session: a page shown before it asks again.
    const back = await Promise.race([
      backAtTheApp(tab).then(() => true),
      tab.waitForURL((url) => url.searchParams.has('request') && url.origin === authority && !url.searchParams.has('client_id')).then(() => false),
    ]);
    if (!back) {
      await approve(tab);
      await backAtTheApp(tab);
    }
    assert.equal((await asked[index].exchange(queryOf(tab).get('code'))).status, 200, `tab ${index}`);
  }
  await context.close();
}

async function framed() {
  const { context, page } = await open(browser);
  const asked = await fresh('Framed');
  for (const address of [asked.url, `${authority}/sign-in`, `${authority}/admin`, `${authority}/nowhere`]) {
    await page.goto(`${app.origin}/frame?src=${encodeURIComponent(address)}`);
    await page.waitForTimeout(300);
    const inside = page.frames().find((frame) => frame !== page.mainFrame());
    const words = await inside.evaluate(() => document.body?.innerText ?? '').catch(() => '');
    assert.ok(!/sign in|password|not_found/i.test(words), `${address} was shown in a frame: ${words}`);
  }
  // The twin: the same address at the top.
  await page.goto(asked.url);
  await page.waitForSelector('input[name=password]');
  await context.close();
}

async function historyKeepsNoCode() {
  const { context, page } = await open(browser);
  const asked = await fresh('History');
  await page.goto(`${app.origin}/opener`);
  await page.goto(asked.url);
  await signIn(page, OWNER, PASSWORD);
  await approve(page);
  await backAtTheApp(page);
  const code = queryOf(page).get('code');
  assert.equal((await asked.exchange(code)).status, 200);
  for (let step = 0; step < 6; step += 1) {
    const before = page.url();
    await page.goBack({ waitUntil: 'load' }).catch(() => null);
    const address = page.url();
    if (address === before || address.startsWith(`${app.origin}/opener`)) break;
    assert.ok(!address.includes(code), `the address ${address} has the code`);
    assert.ok(!(await page.content()).includes(code), `${address} shows the code`);
  }
  // What leads to the client says nothing of where it came from.
  const arrived = app.requests.filter(({ url }) => url.pathname === '/callback');
  assert.ok(arrived.length > 0);
  for (const { headers } of arrived) assert.equal(headers.referer, undefined);
  await context.close();
}

async function earlyKeys() {
  const { context, page } = await open(browser);
  const asked = await fresh('Early keys');
  await page.goto(`${authority}/sign-in`);
  await signIn(page, OWNER, PASSWORD);
  await page.waitForURL((url) => url.pathname === '/admin');
  const approved = () => app.requests.filter(({ url }) => url.searchParams.get('state') === asked.state && url.searchParams.has('code')).length;
  for (const keys of [['Enter'], ['Space'], ['Tab', 'Enter'], ['Tab', 'Tab', 'Tab', 'Enter']]) {
    await page.goto(asked.url, { waitUntil: 'commit' });
    const started = Date.now();
    while (Date.now() - started < 300) for (const key of keys) await page.keyboard.press(key, { delay: 5 });
    await page.waitForTimeout(200);
    assert.equal(approved(), 0, `${keys.join(' ')} approved`);
  }
  await page.goto(asked.url);
  // Early keys may have pressed what is harmless: another account.
  if ((await page.locator('input[name=password]').count()) > 0) await signIn(page, OWNER, PASSWORD);
  await page.waitForSelector('input[name=scope]');
  // In a checkbox Enter would press the first button of the form: it is one that does nothing.
  await page.focus('input[name=scope]');
  await page.keyboard.press('Enter');
  await page.waitForTimeout(700);
  assert.equal(approved(), 0);
  // The twin: the same key on the button once it is there.
  await page.waitForSelector(APPROVE, { state: 'visible' });
  await page.focus(APPROVE);
  await page.keyboard.press('Enter');
  await backAtTheApp(page);
  assert.equal(approved(), 1);
  await context.close();
}

async function byHand() {
  const { context, page, wrong } = await open(browser);
  // Nothing listens there: the program is on another computer.
  const elsewhere = 'http://127.0.0.1:9/callback';
  const asked = await request(ready, { name: 'Over SSH', redirectUri: elsewhere });
  await page.goto(asked.url);
  await signIn(page, OWNER, PASSWORD);
  await page.waitForSelector(APPROVE, { state: 'visible' });
  await page.check('#by-hand');
  await approve(page);
  await page.waitForSelector('code');
  await page.waitForTimeout(1500);
  assert.equal(new URL(page.url()).origin, authority, 'it stays');
  const shown = await page.locator('.copyable code').allInnerTexts();
  assert.ok(shown[0].startsWith(`${elsewhere}?code=pcc_`), shown[0]);
  assert.match(shown[1], /^pcc_[\w-]{43}$/);
  assert.ok(shown[2].startsWith(`curl '${elsewhere}?code=`), shown[2]);
  // One click selects the whole of it.
  await page.locator('.copyable code').first().click();
  assert.equal(await page.evaluate(() => String(getSelection()).trim()), shown[0]);
  assert.equal((await asked.exchange(shown[1])).status, 200);
  assert.deepEqual(wrong, []);
  await context.close();
}

async function customScheme() {
  const { context, page } = await open(browser);
  const redirect = 'com.example.app:/oauth/callback';
  const asked = await request(ready, { name: 'Native app', redirectUri: redirect });
  await page.goto(asked.url);
  await signIn(page, OWNER, PASSWORD);
  await approve(page);
  await page.waitForSelector('details.help');
  await page.waitForTimeout(800);
  const words = await page.innerText('body');
  assert.match(words, /Access allowed/);
  // Chromium's own question, whether to open an app, stands in front of the page and takes the mouse.
  await page.evaluate(() => document.querySelector('details.help summary').click());
  await page.waitForSelector('details.help[open] code');
  const [address, code] = await page.locator('.copyable code').allInnerTexts();
  assert.ok(address.startsWith(`${redirect}?code=`), address);
  assert.equal(await page.getAttribute('a.button', 'href'), address);
  assert.equal((await asked.exchange(code)).status, 200);
  await context.close();
}

async function forgedForms() {
  const { context, page } = await open(browser);
  const asked = await fresh('Forged');
  const forge = async (action, fields) => {
    const query = new URLSearchParams({ action: `${authority}${action}`, ...fields });
    const answered = page.waitForResponse((response) => response.url().startsWith(`${authority}${action}`) && response.request().method() === 'POST');
    await page.goto(`${app.origin}/forge?${query}`);
    await page.click('button');
    return answered;
  };
  // Signed in as the attacker without noticing.
  const answer = await forge('/sign-in', { email: OTHER, password: PASSWORD });
  assert.equal(answer.status(), 403);
  assert.ok(!(await context.cookies()).some(({ name }) => name.includes('login')));
  // The twin: the same fields in our own form.
  await page.goto(asked.url);
  await signIn(page, OWNER, PASSWORD);
  await page.waitForSelector(APPROVE, { state: 'visible' });
  const [csrf, sealed] = await Promise.all(['csrf', 'request'].map((name) => page.inputValue(`form:has(${APPROVE}) input[name=${name}]`)));
  const approved = () => app.requests.filter(({ url }) => url.searchParams.get('state') === asked.state).length;
  const forged = await forge(new URL(asked.url).pathname, { csrf, request: sealed, decision: 'approve', scope: 'todo:read' });
  assert.equal(forged.status(), 400);
  await page.waitForTimeout(300);
  assert.equal(approved(), 0);
  const signedOut = await forge('/sign-out', { csrf });
  assert.equal(signedOut.status(), 400);
  await page.goto(asked.url);
  await approve(page);
  await backAtTheApp(page);
  assert.equal(approved(), 1);
  // A client's own request may come as a form of its page, and finds the person signed in.
  const next = await fresh('Posted');
  const fields = Object.fromEntries(new URL(next.url).searchParams);
  assert.equal((await forge(new URL(next.url).pathname, fields)).status(), 303);
  await approve(page);
  await backAtTheApp(page);
  assert.equal((await next.exchange(queryOf(page).get('code'))).status, 200);
  await context.close();
}

async function otherAccount() {
  const { context, page } = await open(browser);
  const asked = await fresh('Switching');
  await page.goto(asked.url);
  await signIn(page, OWNER, PASSWORD);
  await page.waitForSelector(APPROVE, { state: 'visible' });
  // Somebody else signs in in another tab; the page of the first person is worth nothing then.
  const tab = await context.newPage();
  await tab.goto(`${authority}/admin`);
  await tab.click('form.account button');
  await tab.goto(`${authority}/sign-in`);
  await signIn(tab, OTHER, PASSWORD);
  await tab.waitForURL((url) => url.pathname === '/admin');
  await approve(page);
  await page.waitForSelector(`text=${OTHER}`);
  await page.waitForSelector(APPROVE, { state: 'visible' });
  // And back again by the page's own button.
  await page.click('text=Use another account');
  await signIn(page, OWNER, PASSWORD);
  await page.waitForSelector(`text=${OWNER}`);
  await approve(page);
  await backAtTheApp(page);
  assert.equal((await asked.exchange(queryOf(page).get('code'))).status, 200);
  await context.close();
}

async function remembered() {
  const intranet = 'https://intranet.example/callback';
  const clientId = portcullis(['clients', 'add', '--name', 'Intranet', '--redirect-uri', intranet]).split('\n')[0];
  for (const javaScriptEnabled of [true, false]) {
    const { context, page, wrong } = await open(browser, { javaScriptEnabled });
    await context.route('https://intranet.example/**', (route) => route.fulfill({ status: 200, contentType: 'text/html', body: '<title>intranet</title>in' }));
    const ask = () => request(ready, { redirectUri: intranet, clientId });
    const there = () => page.waitForURL((url) => url.href.startsWith(intranet));
    const first = await ask();
    await page.goto(first.url);
    await signIn(page, OWNER, PASSWORD);
    // Asked the first time; with scripts on the second browser of the same person finds it remembered.
    if (javaScriptEnabled) {
      await page.waitForSelector(APPROVE, { state: 'visible' });
      assert.match(await page.innerText('body'), /Added by the owner/);
      await approve(page);
    } else {
      await page.waitForSelector('text=Continue to Intranet');
      await page.click('#go-on button');
    }
    await there();
    const second = await ask();
    await page.goto(second.url).catch(() => null);
    if (!javaScriptEnabled) await page.click('#go-on button');
    await there();
    assert.equal(queryOf(page).get('state'), second.state);
    assert.equal((await second.exchange(queryOf(page).get('code'))).status, 200);
    if (javaScriptEnabled) {
      // Who goes back wants to stop: the page waits for them.
      await page.goBack().catch(() => null);
      await page.waitForTimeout(1000);
      if (new URL(page.url()).origin === authority) await page.waitForSelector('text=Continue to Intranet');
    }
    // More than was approved is asked, and the same button is not pressed by itself.
    const consent = await request(ready, { redirectUri: intranet, clientId, more: { prompt: 'consent' } });
    await page.goto(consent.url);
    await page.waitForSelector(APPROVE, { state: 'visible' });
    assert.deepEqual(wrong, []);
    await context.close();
  }
}

async function strangersAreNotAsked() {
  const { context, page } = await open(browser);
  const origins = new Set();
  page.on('request', (sent) => origins.add(new URL(sent.url()).origin));
  const asked = await fresh('<img src=https://evil.example/x>');
  await page.goto(asked.url);
  await signIn(page, OWNER, PASSWORD);
  await approve(page);
  await backAtTheApp(page);
  for (const path of ['/admin', '/account/tokens', '/servers/todo/authorize?client_id=x']) await page.goto(`${authority}${path}`);
  assert.deepEqual([...origins].sort(), [authority, app.origin].sort());
  await context.close();
}

let failure = null;
try {
  await check('a popup of another origin ends at its opener, and only the client speaks to it', popup);
  await check('fetched before, between and after by scanners, the sign-in completes', doubleFetch);
  await check('an embedded view of 400 by 600 without cookies completes', embedded);
  await check('it all works without scripts', withoutScripts);
  await check('four tabs at once all complete', manyTabs);
  await check('no page is shown in a frame', framed);
  await check('history keeps no live code, and no referrer tells of us', historyKeepsNoCode);
  await check('keys pressed in the first 300 ms approve nothing', earlyKeys);
  await check('a code to carry by hand is shown whole and stays', byHand);
  await check('an app that does not open leaves a page with the code', customScheme);
  await check('forms of another site sign nobody in and approve nothing', forgedForms);
  await check('an approval belongs to the account that was shown', otherAccount);
  await check('a remembered client goes on by itself, by one button without scripts, and not for who comes back', remembered);
  await check('nothing is ever asked of a stranger', strangersAreNotAsked);
} catch (error) {
  console.error(error);
  failure = String(error.message ?? error);
} finally {
  await browser.close();
  app.close();
}
console.log(JSON.stringify({ passed: checks.length, checks, ...(failure ? { error: failure } : {}) }));
process.exit(failure ? 1 : 0);
