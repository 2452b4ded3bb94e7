// The suite's server scenarios cannot send a token: this listener adds one and passes everything else on as it is.
// `bearer_shim.mjs MCP_URL`; authorizes once as a client with our person, then prints the address to test.
import http from 'node:http';
import { auth } from '@modelcontextprotocol/sdk/client/auth.js';
import { Person } from '../person.mjs';

const target = new URL(process.argv[2]);
const token = await authorize(target);

async function authorize(mcpUrl) {
  const redirectUrl = 'http://127.0.0.1:8978/callback';
  const saved = {};
  const provider = {
    redirectUrl,
    clientMetadata: { client_name: 'Conformance', redirect_uris: [redirectUrl] },
    clientInformation: () => saved.client,
    saveClientInformation: (client) => (saved.client = client),
    tokens: () => saved.tokens,
    saveTokens: (tokens) => (saved.tokens = tokens),
    saveCodeVerifier: (verifier) => (saved.verifier = verifier),
    codeVerifier: () => saved.verifier,
    redirectToAuthorization: (url) => (saved.url = url),
  };
  await auth(provider, { serverUrl: mcpUrl });
  const person = new Person({ email: process.env.PERSON_EMAIL, password: process.env.PERSON_PASSWORD });
  const callback = new URL(await person.authorize(saved.url));
  await auth(provider, { serverUrl: mcpUrl, authorizationCode: callback.searchParams.get('code') });
  return saved.tokens.access_token;
}

const shim = http.createServer((request, response) => {
  const here = `127.0.0.1:${shim.address().port}`;
  const headers = { ...request.headers, authorization: `Bearer ${token}` };
  // Our own address stands for the gateway's; a foreign Host or Origin must reach the gateway as it is.
  if (headers.host === here) headers.host = target.host;
  if (headers.origin === `http://${here}`) headers.origin = target.origin;
  const path = request.url.startsWith('/mcp') ? target.pathname + request.url.slice('/mcp'.length) : request.url;
  const onward = http.request(
    { host: target.hostname, port: target.port, method: request.method, path, headers },
    (answer) => {
      response.writeHead(answer.statusCode, answer.rawHeaders);
      response.flushHeaders();
      answer.pipe(response);
    },
  );
  onward.on('error', (error) => {
    if (response.headersSent) response.destroy();
    else response.writeHead(502).end(String(error));
  });
  response.on('close', () => onward.destroy());
  request.pipe(onward);
});
shim.listen(0, '127.0.0.1', () => console.log(JSON.stringify({ mcp_url: `http://127.0.0.1:${shim.address().port}/mcp` })));
