// A person with a browser, without the browser: keeps cookies, reads our pages' forms and submits them as one would.
// Used by every JavaScript driver, and as a command (`person.mjs URL`) by the Python ones, where it stands in for the
// program that `webbrowser` opens.
import http from 'node:http';
import https from 'node:https';
import { pathToFileURL } from 'node:url';

const STEPS_MAX = 12;
const PAGE_BYTES_MAX = 1 << 20;
const REQUEST_TIMEOUT_MS = 20_000;

export class Person {
  constructor({ email, password }) {
    this.email = email;
    this.password = password;
    this.cookies = new Map(); // "host name" -> value; ports do not separate cookies, in a browser either
    this.did = []; // what happened, in order: "signed in", "approved", ...
    this.consentedTo = null; // what the consent page offered
  }

  // Opens `url`, signs in and answers the consent page; resolves to the address the client is called back at.
  // `scopes`: names to leave ticked; absent means what the page ticks by itself.
  async authorize(url, { approve = true, scopes } = {}) {
    let page = await this.open('GET', new URL(url));
    for (let step = 0; step < STEPS_MAX; step += 1) {
      if (page.redirect) {
        if (page.redirect.origin !== page.url.origin) return page.redirect.href;
        page = await this.open('GET', page.redirect, page.url);
        continue;
      }
      if (page.status !== 200) throw new Error(`${page.url.pathname} answered ${page.status}: ${words(page.body)}`);
      const leaving = refreshTarget(page.body);
      if (leaving) return leaving;
      page = await this.answer(page, approve, scopes);
    }
    throw new Error(`no end after ${STEPS_MAX} pages: ${this.did.join(', ')}`);
  }

  async answer(page, approve, scopes) {
    const forms = readForms(page.body);
    const signIn = forms.find((form) => form.fields.some((field) => field.name === 'password'));
    if (signIn) {
      if (this.did.includes('signed in')) throw new Error(`the password was not accepted: ${words(page.body)}`);
      this.did.push('signed in');
      return this.submit(page, signIn, { email: this.email, password: this.password });
    }
    const consent = forms.find((form) => form.fields.some((field) => field.name === 'decision'));
    if (consent) {
      this.consentedTo = consent.fields.filter((field) => field.name === 'scope').map((field) => field.value);
      this.did.push(approve ? 'approved' : 'refused');
      return this.submit(page, consent, { decision: approve ? 'approve' : 'deny' }, scopes);
    }
    throw new Error(`${page.url.pathname} is a page without a form for a person: ${words(page.body)}`);
  }

  submit(page, form, typed, scopes) {
    const body = new URLSearchParams();
    for (const field of form.fields) {
      if (field.name in typed || field.button) continue;
      if (field.type === 'checkbox' || field.type === 'radio') {
        const ticked = field.name === 'scope' && scopes ? scopes.includes(field.value) : field.checked;
        if (!ticked) continue;
      }
      body.append(field.name, field.value);
    }
    for (const [name, value] of Object.entries(typed)) body.append(name, value);
    const action = new URL(form.action || page.url.href, page.url);
    return this.open(form.method, action, page.url, body.toString());
  }

  // One request, as a browser's navigation sends it; never follows a redirect by itself.
  open(method, url, from, body) {
    const headers = {
      accept: 'text/html,application/xhtml+xml;q=0.9,*/*;q=0.8',
      'accept-language': 'en',
      'user-agent': 'Mozilla/5.0 (a person in a test)',
      'sec-fetch-dest': 'document',
      'sec-fetch-mode': 'navigate',
      'sec-fetch-site': from ? 'same-origin' : 'none',
      'sec-fetch-user': '?1',
      'upgrade-insecure-requests': '1',
    };
    const cookies = [...this.cookies].filter(([key]) => key.startsWith(`${url.hostname} `));
    if (cookies.length) headers.cookie = cookies.map(([key, value]) => `${key.split(' ')[1]}=${value}`).join('; ');
    if (from) headers.referer = from.href;
    if (method === 'POST') {
      headers.origin = from.origin;
      headers['content-type'] = 'application/x-www-form-urlencoded';
      headers['content-length'] = Buffer.byteLength(body);
    }
    return new Promise((resolve, reject) => {
      const client = url.protocol === 'https:' ? https : http;
      const request = client.request(url, { method, headers, timeout: REQUEST_TIMEOUT_MS }, (response) => {
        this.keepCookies(url, response.headers['set-cookie'] ?? []);
        const chunks = [];
        let size = 0;
        response.on('data', (chunk) => {
          size += chunk.length;
          if (size > PAGE_BYTES_MAX) request.destroy(new Error(`a page of more than ${PAGE_BYTES_MAX} bytes`));
          chunks.push(chunk);
        });
        response.on('error', reject);
        response.on('end', () => {
          const moved = response.statusCode >= 300 && response.statusCode < 400 && response.headers.location;
          resolve({
            url,
            status: response.statusCode,
            body: Buffer.concat(chunks).toString(),
            redirect: moved ? new URL(moved, url) : null,
          });
        });
      });
      request.on('timeout', () => request.destroy(new Error(`${method} ${url.pathname} took over ${REQUEST_TIMEOUT_MS} ms`)));
      request.on('error', reject);
      request.end(body);
    });
  }

  keepCookies(url, lines) {
    for (const line of lines) {
      const [pair, ...attributes] = line.split(';');
      const at = pair.indexOf('=');
      const key = `${url.hostname} ${pair.slice(0, at).trim()}`;
      const ended = attributes.some((attribute) => /^\s*max-age\s*=\s*(0|-\d+)\s*$/i.test(attribute));
      if (ended) this.cookies.delete(key);
      else this.cookies.set(key, pair.slice(at + 1).trim());
    }
  }
}

// Calls the client's own listener, as the browser's last navigation does; it may not listen yet.
export async function deliver(callback, patienceMs = 15_000) {
  const until = Date.now() + patienceMs;
  for (;;) {
    try {
      const answer = await fetch(callback, { redirect: 'manual' });
      await answer.text();
      return answer.status;
    } catch (error) {
      if (Date.now() > until) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

export function readForms(html) {
  return [...html.matchAll(/<form\b([^>]*)>([\s\S]*?)<\/form>/gi)].map(([, head, inside]) => {
    const form = attributesOf(head);
    const fields = [...inside.matchAll(/<(input|button)\b([^>]*)>/gi)].map(([, tag, rest]) => {
      const field = attributesOf(rest);
      const type = (field.type ?? (tag.toLowerCase() === 'button' ? 'submit' : 'text')).toLowerCase();
      return {
        name: field.name ?? '',
        value: field.value ?? (type === 'checkbox' ? 'on' : ''),
        type,
        button: type === 'submit' || type === 'button',
        checked: 'checked' in field,
      };
    });
    return {
      action: form.action ?? '',
      method: (form.method ?? 'GET').toUpperCase(),
      fields: fields.filter((field) => field.name !== ''),
    };
  });
}

function refreshTarget(html) {
  for (const [, head] of html.matchAll(/<meta\b([^>]*)>/gi)) {
    const meta = attributesOf(head);
    if (meta['http-equiv']?.toLowerCase() !== 'refresh') continue;
    const target = /^\s*\d+\s*;\s*url\s*=\s*(.+)$/i.exec(meta.content ?? '');
    if (target) return target[1].trim().replace(/^(['"])(.*)\1$/, '$2');
  }
  return null;
}

function attributesOf(text) {
  const found = {};
  for (const [, name, double, single, bare] of text.matchAll(/([^\s=/"'>]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>]+)))?/g)) {
    found[name.toLowerCase()] = decode(double ?? single ?? bare ?? '');
  }
  return found;
}

function decode(text) {
  const named = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };
  return text.replace(/&(?:#x([0-9a-f]+)|#(\d+)|([a-z]+));/gi, (whole, hex, decimal, name) => {
    if (hex) return String.fromCodePoint(parseInt(hex, 16));
    if (decimal) return String.fromCodePoint(parseInt(decimal, 10));
    return named[name.toLowerCase()] ?? whole;
  });
}

// The readable part of a page, for an error message.
function words(html) {
  return decode(html.replace(/<(style|script|head)\b[\s\S]*?<\/\1>/gi, ' ').replace(/<[^>]+>/g, ' ')).replace(/\s+/g, ' ').trim().slice(0, 300);
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const [url, mode] = process.argv.slice(2);
  const person = new Person({ email: process.env.PERSON_EMAIL, password: process.env.PERSON_PASSWORD });
  const scopes = process.env.PERSON_SCOPES?.split(' ');
  const callback = await person.authorize(url, { scopes });
  if (mode === '--print') console.log(callback);
  else await deliver(callback);
}
