// The MCP server behind the conformance run at 2026-07-28: offers what the suite's server scenarios of that revision ask
// for, and nothing else. `reference_server_2026_07_28.mjs PORT`, on the TypeScript SDK's second generation.
import http from 'node:http';
import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import {
  MissingRequiredClientCapabilityError,
  ProtocolError,
  ResourceNotFoundError,
  Server,
  acceptedContent,
  createMcpHandler,
  createRequestStateCodec,
  inputRequired,
} from '@modelcontextprotocol/server';
import { content, fromTemplate, jsonSchemaTool, pause, prompts, resources, template, text } from './content.mjs';

const BODY_BYTES_MAX = 1 << 20;
const INVALID_PARAMS = -32602;
const CAPABILITIES = 'io.modelcontextprotocol/clientCapabilities';

const states = createRequestStateCodec({ key: randomBytes(32) });
const complete = (value) => ({ content: [text(value)] });
const responses = (call) => call.mcpReq.inputResponses ?? {};
const asks = (message, name, type = 'string') =>
  inputRequired.elicit({ message, requestedSchema: { type: 'object', properties: { [name]: { type } }, required: [name] } });
const completion = (value, maxTokens) =>
  inputRequired.createMessage({ messages: [{ role: 'user', content: text(value) }], maxTokens });

// What the person's client may be asked for, by the capability that it must have declared.
const inputs = {
  elicitation: () => ({ user_name: asks('What is your name?', 'name') }),
  sampling: () => ({ greeting: completion('Generate a greeting', 50) }),
  roots: () => ({ client_roots: inputRequired.listRoots() }),
};

// Tool name -> description, and what it does with the call.
const tools = {
  ...content,
  test_error_handling: [
    'Fails',
    () => {
      throw new Error('This tool intentionally returns an error for testing');
    },
  ],
  test_tool_with_progress: [
    'Reports progress while it runs',
    async (call) => {
      const progressToken = call.mcpReq._meta?.progressToken ?? 0;
      for (const progress of [0, 50, 100]) {
        await call.mcpReq.notify({ method: 'notifications/progress', params: { progressToken, progress, total: 100 } });
        await pause(50);
      }
      return complete(String(progressToken));
    },
  ],
  test_missing_capability: [
    'Needs a client that answers for a model',
    (call) => {
      if (!call.mcpReq.envelope?.[CAPABILITIES]?.sampling) {
        throw new MissingRequiredClientCapabilityError({ requiredCapabilities: { sampling: {} } });
      }
      return complete('sampling is declared');
    },
  ],
  test_streaming_elicitation: ['Asks the person something', () => inputRequired({ inputRequests: inputs.elicitation() })],
  test_logging_tool: [
    'Logs while it runs',
    async (call) => {
      await call.mcpReq.log('info', 'Tool execution started');
      return complete('Tool with logging executed successfully');
    },
  ],
  test_trigger_tool_change: ['Says that the tools changed', () => notified(() => handler.notify.toolsChanged())],
  test_trigger_prompt_change: ['Says that the prompts changed', () => notified(() => handler.notify.promptsChanged())],
  test_input_required_result_elicitation: [
    'Asks for a name',
    (call) => {
      const name = acceptedContent(responses(call), 'user_name')?.name;
      return typeof name === 'string' ? complete(`Hello, ${name}!`) : inputRequired({ inputRequests: inputs.elicitation() });
    },
  ],
  test_input_required_result_sampling: [
    'Asks for a completion',
    (call) => {
      const answer = responses(call).capital_question?.content?.text;
      return answer
        ? complete(answer)
        : inputRequired({ inputRequests: { capital_question: completion('What is the capital of France?', 100) } });
    },
  ],
  test_input_required_result_list_roots: [
    'Asks for the roots',
    (call) => {
      const roots = responses(call).client_roots?.roots;
      return roots ? complete(roots.map(({ uri }) => uri).join(' ')) : inputRequired({ inputRequests: inputs.roots() });
    },
  ],
  test_input_required_result_request_state: [
    'Carries a state through one round',
    async (call) => {
      const ok = acceptedContent(responses(call), 'confirm')?.ok;
      if (ok !== undefined && call.mcpReq.requestState() === 'confirm') return complete('state-ok');
      return inputRequired({
        inputRequests: { confirm: asks('Please confirm', 'ok', 'boolean') },
        requestState: await states.mint('confirm'),
      });
    },
  ],
  test_input_required_result_multiple_inputs: [
    'Asks for three things at once',
    async (call) => {
      const given = responses(call);
      const keys = ['user_name', 'greeting', 'client_roots'];
      if (keys.every((key) => given[key])) return complete(`all ${keys.length} inputs came back`);
      return inputRequired({
        inputRequests: { ...inputs.elicitation(), ...inputs.sampling(), ...inputs.roots() },
        requestState: await states.mint('several'),
      });
    },
  ],
  test_input_required_result_multi_round: [
    'Asks twice, one after the other',
    async (call) => {
      const state = call.mcpReq.requestState();
      const name = state?.name ?? acceptedContent(responses(call), 'step1')?.name;
      const color = acceptedContent(responses(call), 'step2')?.color;
      if (state?.step === 2 && color) return complete(`${name} likes ${color}`);
      const [requests, next] = name
        ? [{ step2: asks('Step 2: What is your favorite color?', 'color') }, { step: 2, name }]
        : [{ step1: asks('Step 1: What is your name?', 'name') }, { step: 1 }];
      return inputRequired({ inputRequests: requests, requestState: await states.mint(next) });
    },
  ],
  test_input_required_result_tampered_state: [
    'Notices a state that was changed',
    async (call) => {
      if (call.mcpReq.requestState() === 'whole') return complete('the state is whole');
      return inputRequired({
        inputRequests: { confirm: asks('Please confirm', 'ok', 'boolean') },
        requestState: await states.mint('whole'),
      });
    },
  ],
  test_input_required_result_capabilities: [
    'Asks only for what the client can give',
    (call) => {
      const can = call.mcpReq.envelope?.[CAPABILITIES] ?? {};
      const requests = Object.entries(inputs).flatMap(([capability, make]) => (can[capability] ? Object.entries(make()) : []));
      return requests.length ? inputRequired({ inputRequests: Object.fromEntries(requests) }) : complete('nothing to ask');
    },
  ],
};

function notified(notify) {
  notify();
  return complete('said');
}

function makeServer() {
  const capabilities = {
    tools: { listChanged: true },
    resources: { listChanged: true },
    prompts: { listChanged: true },
    logging: {},
    completions: {},
  };
  const forAll = { ttlMs: 1000, cacheScope: 'public' };
  const cacheHints = { 'tools/list': forAll, 'resources/read': forAll };
  const server = new Server(
    { name: 'conformance-reference', version: '2.0.0' },
    { capabilities, cacheHints, requestState: { verify: states.verify } },
  );
  const on = (method, handle) => server.setRequestHandler(method, handle);

  on('tools/list', () => {
    const listed = Object.entries(tools).map(([name, [description]]) => ({ name, description, inputSchema: { type: 'object' } }));
    return { tools: [...listed, jsonSchemaTool] };
  });
  on('tools/call', async ({ params }, call) => {
    const tool = tools[params.name];
    if (!tool) throw new ProtocolError(INVALID_PARAMS, `Unknown tool: ${params.name}`);
    try {
      return await tool[1](call);
    } catch (error) {
      if (error instanceof ProtocolError) throw error;
      return { content: [text(error.message)], isError: true };
    }
  });
  on('resources/list', () => ({ resources: Object.entries(resources).map(([uri, [name, mimeType]]) => ({ uri, name, mimeType })) }));
  on('resources/templates/list', () => ({ resourceTemplates: [template] }));
  on('resources/read', ({ params: { uri } }) => {
    if (uri in resources) {
      const [, mimeType, held] = resources[uri];
      return { contents: [{ uri, mimeType, ...held }] };
    }
    const made = fromTemplate(uri);
    if (!made) throw new ResourceNotFoundError(uri);
    return { contents: [made] };
  });
  on('prompts/list', () => ({
    prompts: [
      ...Object.entries(prompts).map(([name, [names]]) => ({
        name,
        description: `${name} for testing`,
        arguments: names.map((argument) => ({ name: argument, required: true })),
      })),
      { name: 'test_input_required_result_prompt', description: 'Asks for its context' },
    ],
  }));
  on('prompts/get', ({ params }, call) => {
    if (params.name === 'test_input_required_result_prompt') {
      const context = acceptedContent(responses(call), 'user_context')?.context;
      if (!context) {
        return inputRequired({ inputRequests: { user_context: asks('What context should the prompt use?', 'context') } });
      }
      return { messages: [{ role: 'user', content: text(`Use this context: ${context}`) }] };
    }
    const prompt = prompts[params.name];
    if (!prompt) throw new ProtocolError(INVALID_PARAMS, `Unknown prompt: ${params.name}`);
    return { messages: prompt[1](params.arguments ?? {}).map((held) => ({ role: 'user', content: held })) };
  });
  on('completion/complete', () => ({ completion: { values: [], total: 0, hasMore: false } }));
  return server;
}

const handler = createMcpHandler(makeServer, { legacy: 'reject', maxRequestBodySize: BODY_BYTES_MAX });

function refuse(response, status, message) {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ jsonrpc: '2.0', error: { code: -32000, message } }));
}

async function answer(request, response) {
  const here = request.socket.localPort;
  const known = [`localhost:${here}`, `127.0.0.1:${here}`, `[::1]:${here}`];
  const { host, origin } = request.headers;
  if (!known.includes(host) || (origin && !known.includes(new URL(origin).host))) {
    return refuse(response, 403, 'unknown Host or Origin');
  }
  if (new URL(request.url, 'http://localhost').pathname !== '/mcp') return refuse(response, 404, 'no such address');
  // Who goes away has cancelled (Streamable HTTP, 2026-07-28).
  const gone = new AbortController();
  response.on('close', () => gone.abort());
  const hasBody = request.method === 'POST';
  const asked = new Request(`http://${host}${request.url}`, {
    method: request.method,
    headers: Object.entries(request.headers).map(([name, value]) => [name, String(value)]),
    body: hasBody ? Readable.toWeb(request) : undefined,
    duplex: hasBody ? 'half' : undefined,
    signal: gone.signal,
  });
  const given = await handler.fetch(asked);
  response.writeHead(given.status, Object.fromEntries(given.headers));
  response.flushHeaders();
  if (!given.body) return response.end();
  for await (const chunk of given.body) response.write(chunk);
  return response.end();
}

const listener = http.createServer((request, response) => {
  answer(request, response).catch((error) => {
    if (response.headersSent) response.destroy();
    else refuse(response, 400, error.message);
  });
});
listener.listen(Number(process.argv[2] ?? 0), '127.0.0.1', () =>
  console.log(JSON.stringify({ mcp_url: `http://127.0.0.1:${listener.address().port}/mcp` })),
);
