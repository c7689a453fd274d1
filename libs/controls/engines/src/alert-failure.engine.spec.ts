import type { JsonValue } from '@hoc/shared/kernel';
import fc from 'fast-check';
import { alertFailureText } from './alert-failure.engine';

const PAYLOAD: readonly JsonValue[] = [
  {
    labels: { alertname: 'CostSimV2Disabled', severity: 'p1' },
    annotations: { description: 'Reason: Drift exceeded threshold\nDrift score: 0.2500\nSaid "twice"' },
  },
];
const text = (error: unknown, payload = PAYLOAD): string => alertFailureText(error, { payload });
const coded = (message: string, code: string): Error => Object.assign(new Error(message), { code });

it.each<readonly [string, unknown, string]>([
  ['a plain error', new Error('the channel is gone'), 'Error: the channel is gone'],
  [
    'fetch, whose cause says why',
    new TypeError('fetch failed', { cause: coded('connect', 'ECONNREFUSED') }),
    'TypeError: fetch failed (ECONNREFUSED)',
  ],
  ['its own code, said once', coded('getaddrinfo ENOTFOUND am', 'ENOTFOUND'), 'Error: getaddrinfo ENOTFOUND am'],
  ['a code that is none', coded('x', 'see https://a/b'), 'Error: x'],
  ['what is no error', { secret: 'sk-1' }, 'the transport threw what is no error'],
  ['an error of another realm', { name: 'TypeError', message: 'fetch failed' }, 'TypeError: fetch failed'],
  ['an error without a name', { message: 'no' }, 'Error: no'],
  ['nothing', undefined, 'the transport threw what is no error'],
  ['several lines', new Error('a\n\tb\0c\u007f\r\nd'), 'Error: a b c d'],
  ['half a surrogate pair', new Error('a\ud800b'), 'Error: a\uFFFDb'],
  ['a document', new Error('x'.repeat(10_001)), 'Error: a message of 10001 characters'],
])('tells of %s', (_name, error, expected) => {
  expect(text(error)).toBe(expected);
});

it.each([
  ['https://user:pa55@am.example:9093/api/v2/alerts', 'https://am.example:9093/…'],
  ['https://user:pa/55@am.example/x', 'https://…'],
  ['https://user:p@55@am.example', 'https://am.example'],
  ['https://hooks.example/services/T0/B0/pa55', 'https://hooks.example/…'],
  ['https://am.example?key=pa55', 'https://am.example/…'],
  ['https://am.example#pa55', 'https://am.example/…'],
  ['postgres://hoc:pa55@db/hoc', 'postgres://db/…'],
  ['HTTPS://U:pa55@AM', 'HTTPS://AM'],
])('of the URL %s only scheme and host', (url, expected) => {
  expect(text(new Error(`no answer from ${url}, twice '${url}'`))).toBe(
    `Error: no answer from ${expected}${url.endsWith('@am.example') || url.endsWith('@AM') ? ',' : ''} twice '${expected}'`,
  );
});

it.each([
  'Authorization: Bearer pa55word',
  'authorization=Basic pa55word',
  'sent with bearer pa55word, refused',
  'token=pa55word',
  'access_token: pa55word',
  'x-api-key = pa55word',
  'apiKey:pa55word',
  'PASSWORD=pa55word',
  'client_secret="pa55word"',
])('without the credential in %s', (message) => {
  expect(text(new Error(message))).not.toContain('pa55');
});

it.each([
  `refused: ${JSON.stringify(PAYLOAD)}`,
  `refused {"labels":"half of the pay`,
  'no such alert CostSimV2Disabled here',
  'line 2 is wrong: Drift score: 0.2500',
  'Reason: Drift exceeded threshold\\nDrift score',
  'wrong: Said \\"twice\\"',
])('without the payload in %s', (message) => {
  const said = text(new Error(message));
  for (const leaf of ['CostSimV2Disabled', 'Drift exceeded', '0.2500', 'labels', 'twice'])
    expect(said).not.toContain(leaf);
});

it('is one line of at most 500 characters, storable, whatever was thrown', () => {
  expect([...text(new Error('é😀'.repeat(1000)))].length).toBe(500);
  fc.assert(
    fc.property(
      fc.anything(),
      fc.string({ unit: 'binary', maxLength: 2000 }),
      fc.jsonValue(),
      (thrown, message, leaf) => {
        for (const error of [thrown, new Error(message), Object.assign(new Error(message), { name: message })]) {
          const said = text(error, [leaf as JsonValue]);
          expect([...said].length).toBeLessThanOrEqual(500);
          expect(said).not.toMatch(/[\p{Cc}\p{Surrogate}]/u);
        }
      },
    ),
    { numRuns: 300 },
  );
});

it('never gives a payload’s text or a URL’s password away', () => {
  const word = fc.stringMatching(/^[A-Za-z0-9 .:-]{8,40}$/).filter((leaf) => leaf.trim().length >= 8);
  fc.assert(
    fc.property(word, fc.stringMatching(/^Q[a-z0-9/?#]{7,20}Q$/), fc.boolean(), (leaf, password, whole) => {
      const body = whole ? JSON.stringify([{ annotations: leaf }]) : leaf;
      const said = text(new Error(`POST https://u:${password}@am/x sent ${body}`), [{ annotations: leaf }]);
      expect(said).not.toContain(password);
      expect(said).not.toContain(leaf);
    }),
    { numRuns: 300 },
  );
});

it('survives an error that can not be read', () => {
  const error = new Error('x');
  Object.defineProperty(error, 'message', {
    get: () => {
      throw new RangeError('no');
    },
  });
  expect(text(error)).toBe('the transport threw an error that can not be read');
});
