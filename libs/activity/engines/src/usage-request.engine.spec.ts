import type { CusLlmUsageIngest } from '@hoc/activity/schemas';
import { deepFreeze, HocError } from '@hoc/shared/kernel';
import { errorCodeOf, isBadRequest, resolveIntegration, toNewUsage } from './usage-request.engine';

const NOW = new Date('2026-03-10T12:00:00.000Z');
/** Part of bad values: no error may tell it. */
const SECRET = 'VALUE-7f3a';

const U: CusLlmUsageIngest = deepFreeze({
  callId: 'c-1',
  provider: 'azure_openai',
  model: 'gpt-4',
  tokensIn: 374,
  tokensOut: 44,
  costCents: '1.386',
  latencyMs: 250,
});

const refusal = (work: () => unknown): Readonly<Record<string, unknown>> => {
  try {
    work();
  } catch (error) {
    if (!HocError.is(error)) throw error;
    return { ...error.details, code: error.code, message: error.message };
  }
  return { code: 'no error' };
};
const refused = (payload: unknown): Readonly<Record<string, unknown>> => {
  const told = refusal(() => toNewUsage(payload as CusLlmUsageIngest, 'int-1', NOW));
  expect(told).toMatchObject({ code: 'INVALID_ARGUMENT' });
  expect(JSON.stringify(told)).not.toContain(SECRET);
  return told;
};

describe('a bad field is refused by its name, and its value is not told', () => {
  const texts = (max: number): unknown[] => [
    '',
    'é'.repeat(max + 1),
    `${SECRET}\u0000`,
    `${SECRET}\ud800`,
    7,
    {},
    [SECRET],
  ];
  const ids = (max: number): unknown[] => [...texts(max), ' ', `${SECRET}\n`, '\t'];
  const counts = [-1, 1.5, NaN, Infinity, 1_000_000_001, '7', true, [7]];
  const nested = (depth: number): object => (depth === 0 ? {} : { a: nested(depth - 1) });
  const polluted: unknown = JSON.parse('{"__proto__":{"x":1}}');
  const cases: readonly (readonly [string, readonly unknown[]])[] = [
    ['integrationId', ids(100)],
    ['callId', [...ids(255), undefined, null]],
    ['sessionId', ids(100)],
    ['agentId', ids(100)],
    ['provider', [...texts(50), undefined, null]],
    ['model', [...texts(100), undefined, null]],
    ['tokensIn', [...counts, undefined, null]],
    ['tokensOut', [...counts, undefined, null]],
    ['costCents', [1.386, '-1', '1.1234567', '123456789012345', 'NaN', '', ' 1', SECRET, undefined, null, {}]],
    ['latencyMs', [-1, 1.5, NaN, 2_147_483_648, '250']],
    ['policyResult', ['ALLOWED', SECRET, '', 1]],
    ['errorCode', texts(50)],
    ['errorMessage', texts(8000)],
    ['metadata', [SECRET, [], 7, { k: 'x'.repeat(65_536) }, nested(20), polluted, { d: new Date(0) }, { n: NaN }]],
    ['occurredAt', [SECRET, '2026-03-10T12:00:00Z', 0, new Date(NaN), new Date('1999-12-31T23:59:59.999Z')]],
    ['occurredAt', [new Date('2026-03-10T12:05:00.001Z')]],
  ];

  it.each(cases.flatMap(([field, values]) => values.map((value, i) => [field, i, value] as const)))(
    'F47: %s, bad value %i',
    (field, _, value) => {
      const errorCode = field === 'errorMessage' ? { errorCode: 'e' } : {};
      expect(refused({ ...U, ...errorCode, [field]: value })).toMatchObject({ field });
    },
  );

  it.each(['integrationId', 'sessionId', 'agentId', 'latencyMs', 'policyResult', 'errorCode', 'errorMessage'])(
    'null is not the absence of %s',
    (field) => {
      expect(refused({ ...U, errorCode: 'e', [field]: null })).toMatchObject({ field });
    },
  );

  it.each(['metadata', 'occurredAt'])('null is not the absence of %s', (field) => {
    expect(refused({ ...U, [field]: null })).toMatchObject({ field });
  });

  it('unknown keys, and what is no object', () => {
    for (const payload of [
      { ...U, constructor: 'x' },
      { ...U, tenantId: 't-b' },
      { ...U, costcents: SECRET },
    ])
      expect(refused(payload)).toMatchObject({ reason: 'whitelistValidation' });
    for (const field of ['callId', 'tokensIn', 'costCents', 'occurredAt', 'sessionId'])
      for (const trap of [{ constructor: SECRET }, { constructor: { a: SECRET } }, { then: null }, []])
        expect(refused({ ...U, [field]: trap })).toMatchObject({ field });
    for (const payload of [undefined, null, 7, SECRET, [], new Date(0), polluted]) refused(payload);
  });

  it('names every broken rule', () => {
    expect(refused({ ...U, callId: '', tokensIn: -1, costCents: 'x' })['fields']).toEqual([
      { path: 'callId', rule: 'isIdText' },
      { path: 'tokensIn', rule: 'min' },
      { path: 'costCents', rule: 'isMoneyText' },
    ]);
  });

  it('an error message needs a code', () => {
    expect(refused({ ...U, errorMessage: SECRET })).toMatchObject({ field: 'errorMessage', reason: 'without_code' });
  });
});

describe('toNewUsage', () => {
  it('takes every bound itself', () => {
    const widest: CusLlmUsageIngest = {
      callId: 'é'.repeat(255),
      integrationId: 'i'.repeat(100),
      sessionId: '🦉'.repeat(100),
      agentId: 'a',
      provider: 'p'.repeat(50),
      model: 'm'.repeat(100),
      tokensIn: 1_000_000_000,
      tokensOut: 0,
      costCents: '99999999999999.999999',
      latencyMs: 2_147_483_647,
      policyResult: 'blocked',
      errorCode: 'e'.repeat(50),
      errorMessage: 'x'.repeat(8000),
      metadata: { k: 'x'.repeat(65_536 - '{"k":""}'.length) },
      occurredAt: new Date('2026-03-10T12:05:00.000Z'),
    };
    expect(toNewUsage(widest, null, NOW)).toEqual(widest);
    const first = new Date('2000-01-01T00:00:00.000Z');
    expect(toNewUsage({ ...U, occurredAt: first }, 'int-1', NOW).occurredAt).toEqual(first);
  });

  it('leaves out what was left out, and prints money one way', () => {
    expect(toNewUsage({ ...U, costCents: '1.386000' }, 'int-1', NOW)).toEqual({ ...U, integrationId: 'int-1' });
    expect(Object.keys(toNewUsage({ ...U, agentId: undefined as never }, 'int-1', NOW))).not.toContain('agentId');
  });

  it('keeps every key of the metadata', () => {
    const metadata = { constructor: 'x', toString: 1, a: { constructor: { b: [null, true] } }, then: 'y' };
    expect(toNewUsage({ ...U, metadata }, 'int-1', NOW).metadata).toEqual(metadata);
  });
});

describe('resolveIntegration', () => {
  it.each([
    [undefined, 'int-1', 'int-1'],
    ['int-1', null, 'int-1'],
    ['int-1', 'int-1', 'int-1'],
  ])('payload %p, argument %p: %s', (own, argument, expected) => {
    expect(resolveIntegration(own, argument)).toBe(expected);
  });

  it('tells a missing integration from a bad one', () => {
    for (const [own, argument, code] of [
      [undefined, null, 'INTEGRATION_MISSING'],
      ['int-1', 'int-2', 'FIELD_INVALID'],
      [undefined, '', 'FIELD_INVALID'],
    ] as const) {
      let caught: unknown;
      try {
        resolveIntegration(own, argument);
      } catch (error) {
        caught = error;
      }
      expect(isBadRequest(caught) && errorCodeOf(caught)).toBe(code);
    }
    expect(isBadRequest(new Error('x'))).toBe(false);
  });
});
