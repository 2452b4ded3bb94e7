// The whole life of a client as a host application drives it, for either generation of the TypeScript SDK. Prints one
// JSON line with the steps that were seen to happen; whoever started the driver judges it.
import { createInterface } from 'node:readline';
import { Person } from '../person.mjs';

const REDIRECT = 'http://localhost:8976/callback'; // nobody listens: the person hands the address over
const NARROW = ['todo:read']; // what the person leaves ticked when the client is to come back for more
const REVOCATION_MS = 1_000; // how long a revocation may take to reach the gateway

// What an application stores for the SDK, in memory, and how it got its client id.
class Provider {
  constructor(name) {
    this.name = name;
    this.saved = {};
    this.authorizationUrl = null;
    this.clientMetadataUrl = process.env.CLIENT_METADATA_URL;
    if (process.env.CLIENT_ID) {
      this.saved.client = { client_id: process.env.CLIENT_ID };
      if (process.env.CLIENT_SECRET) this.saved.client.client_secret = process.env.CLIENT_SECRET;
    }
  }
  get redirectUrl() {
    return REDIRECT;
  }
  get clientMetadata() {
    return { client_name: this.name, redirect_uris: [REDIRECT], grant_types: ['authorization_code', 'refresh_token'] };
  }
  state() {
    return 'state-of-the-driver';
  }
  clientInformation() {
    return this.saved.client;
  }
  saveClientInformation(client) {
    this.saved.client = client;
  }
  tokens() {
    return this.saved.tokens;
  }
  saveTokens(tokens) {
    this.saved.tokens = tokens;
  }
  saveCodeVerifier(verifier) {
    this.saved.verifier = verifier;
  }
  codeVerifier() {
    return this.saved.verifier;
  }
  saveDiscoveryState(state) {
    this.saved.discovery = state;
  }
  discoveryState() {
    return this.saved.discovery;
  }
  invalidateCredentials(what) {
    if (what !== 'tokens') throw new Error(`the SDK gives up its ${what}`);
    delete this.saved.tokens;
  }
  redirectToAuthorization(url) {
    this.authorizationUrl = url;
  }
  get metadata() {
    return this.saved.discovery?.authorizationServerMetadata;
  }
}

export async function run({ name, version, Client, Transport, UnauthorizedError, finishAuth, clientOptions, stepsUp }) {
  const mcpUrl = new URL(process.env.MCP_URL);
  const person = new Person({ email: process.env.PERSON_EMAIL, password: process.env.PERSON_PASSWORD });
  const provider = new Provider(name);
  const steps = [];
  const result = { client: name, version, steps };
  const known = { CLIENT_ID: 'configured', CLIENT_METADATA_URL: 'document' };
  const registration = Object.entries(known).find(([variable]) => process.env[variable])?.[1] ?? 'registered';

  const client = () => new Client({ name, version }, clientOptions);
  const authorized = async (transport, scopes) => {
    if (!provider.authorizationUrl) throw new Error('the person was not sent to the browser');
    const callback = new URL(await person.authorize(provider.authorizationUrl, { scopes }));
    provider.authorizationUrl = null;
    if (callback.searchParams.get('state') !== provider.state()) throw new Error('another state came back');
    if (callback.searchParams.get('iss') !== provider.metadata.issuer) throw new Error('another issuer came back');
    await finishAuth(transport, callback.searchParams);
    if (!provider.saved.tokens?.access_token || !provider.saved.tokens.refresh_token) throw new Error('no access and refresh token');
  };
  const refused = async (call) => {
    const error = await call().then(() => null, (error) => error);
    if (!error) throw new Error('what must be refused was done');
    return error;
  };
  const signIn = async (scopes) => {
    const first = new Transport(mcpUrl, { authProvider: provider });
    const error = await refused(() => client().connect(first));
    if (!(error instanceof UnauthorizedError)) throw error;
    await authorized(first, scopes);
    const connected = client();
    const transport = new Transport(mcpUrl, { authProvider: provider });
    await connected.connect(transport);
    return { connected, transport };
  };
  const wanted = `written by ${name}`;
  const add = async (connected) => {
    const added = await connected.callTool({ name: 'add_todo', arguments: { title: wanted } });
    if (added.isError) throw new Error(`add_todo: ${JSON.stringify(added.content)}`);
  };

  if (process.env.NAPS) return day(provider, person, result, (await signIn()).connected);
  if (process.env.FIRST_CALL) return firstCall(person, result, (await signIn()).connected);

  let { connected, transport } = await signIn(NARROW);
  if (!provider.metadata?.issuer) throw new Error('no authorization server was discovered');
  steps.push('discovered');
  const id = provider.saved.client?.client_id;
  const expected = process.env.CLIENT_ID ?? process.env.CLIENT_METADATA_URL;
  if (!id || (expected && id !== expected)) throw new Error(`the client id is ${id}`);
  steps.push(registration);
  if (person.did.join() !== 'signed in,approved') throw new Error(`the person did: ${person.did}`);
  steps.push('signed in', 'consented', 'token');

  await connected.listTools();
  steps.push('tools/list');
  await connected.callTool({ name: 'list_todos', arguments: {} });
  steps.push('tools/call');

  const error = await refused(() => add(connected));
  if (stepsUp) {
    if (!(error instanceof UnauthorizedError)) throw error;
    await authorized(transport);
    await add(connected);
    steps.push('stepped up');
  } else {
    // It refreshes instead, and gives up: what helps its person is to sign in anew.
    if (!/403/.test(String(error.message))) throw error;
    steps.push('refused to step up');
    provider.invalidateCredentials('tokens');
    await connected.close();
    ({ connected, transport } = await signIn());
    await add(connected);
    steps.push('signed in anew');
  }
  const asked = person.did.length;
  const { tools } = await connected.listTools();
  result.tools = tools.map((tool) => tool.name).sort();

  await want('restart');
  const granted = provider.saved.tokens;
  // A token that the gateway will not take makes the SDK refresh, as expiry would.
  provider.saved.tokens = { ...granted, access_token: 'spoiled' };
  const listed = await connected.callTool({ name: 'list_todos', arguments: {} });
  const renewed = provider.saved.tokens;
  if (renewed.access_token === 'spoiled' || renewed.refresh_token === granted.refresh_token) throw new Error('the tokens were not renewed');
  if (person.did.length !== asked || provider.authorizationUrl) throw new Error('the person was asked again');
  if (!JSON.stringify(listed).includes(wanted)) throw new Error(`the todo is not in the list: ${JSON.stringify(listed)}`);
  steps.push('refreshed after a restart');

  await revoke(provider);
  steps.push('revoked');
  const ended = await refused(() => connected.callTool({ name: 'list_todos', arguments: {} }));
  if (!(ended instanceof UnauthorizedError) || !provider.authorizationUrl) throw ended;
  steps.push('refused');
  return result;
}

// What a newcomer does: signs in, sees the tools, calls one. Nobody needs to stand by.
async function firstCall(person, result, connected) {
  if (person.did.join() !== 'signed in,approved') throw new Error(`the person did: ${person.did}`);
  const { tools } = await connected.listTools();
  const called = await connected.callTool({ name: 'list_todos', arguments: {} });
  if (tools.length === 0 || called.isError) throw new Error(`list_todos: ${JSON.stringify(called.content)}`);
  result.steps.push('signed in', 'tools/list', 'tools/call');
  return result;
}

// Sleeps as often and as long as it is told, while the clock of this machine moves, and calls a tool each time it wakes.
async function day(provider, person, result, connected) {
  result.steps.push('signed in');
  let refreshes = 0;
  for (const minutes of process.env.NAPS.split(' ')) {
    await want(`sleep ${minutes}`);
    const before = provider.saved.tokens.refresh_token;
    await connected.callTool({ name: 'list_todos', arguments: {} });
    if (provider.saved.tokens.refresh_token !== before) refreshes += 1;
    if (person.did.length !== 2 || provider.authorizationUrl) throw new Error(`the person was asked again after ${minutes} minutes`);
    result.steps.push(`slept ${minutes}`);
  }
  result.steps.push(`refreshed ${refreshes}`);
  return result;
}

const wishes = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

// Asks whoever started the driver for something, and waits until that is done.
async function want(what) {
  console.log(JSON.stringify({ want: what }));
  const { value } = await wishes.next();
  if (value !== 'done') throw new Error(`no ${what}: ${value}`);
}

// RFC 7009. The SDKs leave it to the application.
async function revoke({ saved, metadata }) {
  const { client_id, client_secret } = saved.client;
  const headers = {};
  if (client_secret) headers.authorization = `Basic ${Buffer.from(`${client_id}:${client_secret}`).toString('base64')}`;
  const body = new URLSearchParams({ token: saved.tokens.refresh_token, client_id });
  const answer = await fetch(metadata.revocation_endpoint, { method: 'POST', headers, body });
  if (answer.status !== 200) throw new Error(`revocation answered ${answer.status}: ${await answer.text()}`);
  await new Promise((resolve) => setTimeout(resolve, REVOCATION_MS));
}

export async function main(setup) {
  try {
    console.log(JSON.stringify(await run(setup)));
    process.exit(0); // an SDK may keep a listening stream open
  } catch (error) {
    console.error(error);
    console.log(JSON.stringify({ client: setup.name, version: setup.version, error: String(error?.message ?? error) }));
    process.exit(1);
  }
}

export async function installedVersion(moduleName) {
  const { readFile } = await import('node:fs/promises');
  const path = new URL(`../node_modules/${moduleName}/package.json`, import.meta.url);
  return JSON.parse(await readFile(path, 'utf8')).version;
}
