// The whole handshake as a host application drives it, for either generation of the TypeScript SDK. Prints one JSON line
// with the steps that were seen to happen; whoever started the driver judges it.
import { Person } from '../person.mjs';

const REDIRECT = 'http://localhost:8976/callback'; // nobody listens: the person hands the address over

// What an application stores for the SDK, in memory.
class Provider {
  constructor(name) {
    this.name = name;
    this.saved = {};
    this.authorizationUrl = null;
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
  redirectToAuthorization(url) {
    this.authorizationUrl = url;
  }
}

export async function run({ name, version, Client, Transport, UnauthorizedError, finishAuth, clientOptions }) {
  const mcpUrl = new URL(process.env.MCP_URL);
  const person = new Person({ email: process.env.PERSON_EMAIL, password: process.env.PERSON_PASSWORD });
  const provider = new Provider(name);
  const steps = [];
  const result = { client: name, version, steps };

  const client = () => new Client({ name, version }, clientOptions);
  const first = new Transport(mcpUrl, { authProvider: provider });
  const refused = await client().connect(first).then(() => null, (error) => error);
  if (!(refused instanceof UnauthorizedError)) throw refused ?? new Error('an MCP server without a token let us in');
  if (!provider.saved.discovery?.authorizationServerMetadata?.issuer) throw new Error('no authorization server was discovered');
  steps.push('discovered');
  if (!provider.saved.client?.client_id) throw new Error('no client was registered');
  steps.push('registered');

  const callback = new URL(await person.authorize(provider.authorizationUrl));
  if (callback.searchParams.get('state') !== provider.state()) throw new Error('another state came back');
  if (callback.searchParams.get('iss') !== provider.saved.discovery.authorizationServerMetadata.issuer) throw new Error('another issuer came back');
  if (person.did.join() !== 'signed in,approved') throw new Error(`the person did: ${person.did}`);
  steps.push('signed in', 'consented');

  await finishAuth(first, callback.searchParams);
  const granted = provider.saved.tokens;
  if (!granted?.access_token || !granted.refresh_token) throw new Error('no access and refresh token');
  steps.push('token');

  const connected = client();
  await connected.connect(new Transport(mcpUrl, { authProvider: provider }));
  const { tools } = await connected.listTools();
  result.tools = tools.map((tool) => tool.name).sort();
  steps.push('tools/list');

  const add = tools.find((tool) => tool.name === 'add_todo');
  const text = add.inputSchema.required?.[0] ?? Object.keys(add.inputSchema.properties)[0];
  const wanted = `written by ${name}`;
  const added = await connected.callTool({ name: 'add_todo', arguments: { [text]: wanted } });
  if (added.isError) throw new Error(`add_todo: ${JSON.stringify(added.content)}`);
  steps.push('tools/call');

  // A token that the gateway will not take makes the SDK refresh, as expiry would.
  provider.saved.tokens = { ...granted, access_token: 'spoiled' };
  const listed = await connected.callTool({ name: 'list_todos', arguments: {} });
  const renewed = provider.saved.tokens;
  if (renewed.access_token === 'spoiled' || renewed.refresh_token === granted.refresh_token) throw new Error('the tokens were not renewed');
  if (person.did.length !== 2) throw new Error('the person was asked again');
  steps.push('refreshed');
  if (!JSON.stringify(listed).includes(wanted)) throw new Error(`the todo is not in the list: ${JSON.stringify(listed)}`);
  steps.push('call after refresh');
  await connected.close();
  return result;
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
