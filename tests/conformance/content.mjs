// What both reference servers offer: the tools, resources and prompts whose answers do not depend on the revision.
const PIXEL = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
const SILENCE = 'UklGRiQAAABXQVZFZm10IBAAAAABAAEARKwAAIhYAQACABAAZGF0YQAAAAA=';

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
export const text = (value) => ({ type: 'text', text: value });
export const image = { type: 'image', data: PIXEL, mimeType: 'image/png' };
export const embedded = (uri, mimeType, value) => ({ type: 'resource', resource: { uri, mimeType, text: value } });
export const described = (type, description, extra = {}) => ({ type, description, ...extra });

const answers = (...held) => () => ({ content: held });

// Tool name -> description, and what makes its whole result.
export const content = {
  test_simple_text: ['Answers one text', answers(text('This is a simple text response for testing.'))],
  test_image_content: ['Answers one image', answers(image)],
  test_audio_content: ['Answers one sound', answers({ type: 'audio', data: SILENCE, mimeType: 'audio/wav' })],
  test_embedded_resource: [
    'Answers an embedded resource',
    answers(embedded('test://embedded-resource', 'text/plain', 'This is an embedded resource content.')),
  ],
  test_multiple_content_types: [
    'Answers text, image and resource',
    answers(
      text('Multiple content types test:'),
      image,
      embedded('test://mixed-content-resource', 'application/json', JSON.stringify({ test: 'data', value: 123 })),
    ),
  ],
};

// A definition that uses what a careless re-serialisation loses.
export const jsonSchemaTool = {
  name: 'json_schema_2020_12_tool',
  description: 'Has an input schema with keywords of JSON Schema 2020-12',
  inputSchema: {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    type: 'object',
    $defs: {
      address: { $anchor: 'address', type: 'object', properties: { street: { type: 'string' }, city: { type: 'string' } } },
    },
    properties: { name: { type: 'string' }, address: { $ref: '#/$defs/address' }, country: { type: 'string' } },
    allOf: [{ anyOf: [{ required: ['name'] }, { required: ['address'] }] }],
    if: { required: ['country'] },
    then: { required: ['address'] },
    else: { properties: { name: { minLength: 1 } } },
    additionalProperties: false,
  },
};

export const resources = {
  'test://static-text': ['Static text', 'text/plain', { text: 'This is the content of the static text resource.' }],
  'test://static-binary': ['Static image', 'image/png', { blob: PIXEL }],
  'test://watched-resource': ['Can be subscribed to', 'text/plain', { text: 'Watched resource content' }],
};

export const template = { uriTemplate: 'test://template/{id}/data', name: 'template', mimeType: 'application/json' };

/** The contents at an address of the template, or nothing. */
export function fromTemplate(uri) {
  const id = /^test:\/\/template\/([^/]+)\/data$/.exec(uri)?.[1];
  if (!id) return undefined;
  const data = JSON.stringify({ id, templateTest: true, data: `Data for ID: ${id}` });
  return { uri, mimeType: 'application/json', text: data };
}

export const prompts = {
  test_simple_prompt: [[], () => [text('This is a simple prompt for testing.')]],
  test_prompt_with_arguments: [
    ['arg1', 'arg2'],
    ({ arg1, arg2 }) => [text(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`)],
  ],
  test_prompt_with_embedded_resource: [
    ['resourceUri'],
    ({ resourceUri }) => [
      embedded(resourceUri, 'text/plain', 'Embedded resource content for testing.'),
      text('Please process the embedded resource above.'),
    ],
  ],
  test_prompt_with_image: [[], () => [image, text('Please analyze the image above.')]],
};
