// The suite's authorization-server scenarios, with our person for the browser they ask for.
// `authorization.mjs ISSUER CLIENT_ID MCP_URL PORT FOLDER`; prints what the suite prints and ends as it ends.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Person, deliver } from '../person.mjs';

const [issuer, clientId, resource, port, folder] = process.argv.slice(2);
const suite = fileURLToPath(new URL('../node_modules/@modelcontextprotocol/conformance/dist/index.js', import.meta.url));
const options = ['authorization', '--url', issuer, '--client-id', clientId, '--resource', resource, '-p', port, '-o', folder];
const child = spawn(process.execPath, [suite, ...options], { stdio: ['ignore', 'pipe', 'inherit'] });
const person = new Person({ email: process.env.PERSON_EMAIL, password: process.env.PERSON_PASSWORD });

let printed = '';
let visiting = false;
child.stdout.on('data', (chunk) => {
  process.stdout.write(chunk);
  printed += chunk;
  const url = /https?:\/\/\S+[?&]code_challenge=\S+(?=\s)/.exec(printed)?.[0];
  if (!url || visiting) return;
  visiting = true;
  person
    .authorize(url)
    .then(deliver)
    .catch((error) => {
      console.error(error);
      child.kill();
    });
});
child.on('exit', (code) => process.exit(code ?? 1));
