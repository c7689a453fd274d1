import { toMoney } from '@hoc/shared/kernel';
import fc from 'fast-check';
import { type JsonLineDefaults, parseJsonUsageLine } from './usage-json-lines.engine';

const LINE = {
  tenant_id: 't-a',
  integration_id: 'int-1',
  provider: 'openai',
  model: 'gpt-4o',
  tokens_in: 1200,
  tokens_out: 350,
  latency_ms: 812,
  status: 'ok',
};
const without = (...keys: readonly string[]): object =>
  Object.fromEntries(Object.entries(LINE).filter(([key]) => !keys.includes(key)));
const parse = (record: unknown, defaults: JsonLineDefaults = {}) =>
  parseJsonUsageLine(typeof record === 'string' ? record : JSON.stringify(record), defaults);
const refusal = (record: unknown, defaults?: JsonLineDefaults): readonly [string, string | null] | 'taken' => {
  const parsed = parse(record, defaults);
  return 'reject' in parsed ? [parsed.reject, parsed.field] : 'taken';
};
const read = (record: unknown, defaults?: JsonLineDefaults) => {
  const parsed = parse(record, defaults);
  if ('reject' in parsed) throw new Error(`${parsed.reject} ${parsed.field}`);
  return parsed;
};

it('F67: a line as a call', () => {
  expect(parse(LINE)).toEqual({
    tenantId: 't-a',
    callId: null,
    costCents: null,
    record: LINE,
    usage: {
      integrationId: 'int-1',
      provider: 'openai',
      model: 'gpt-4o',
      tokensIn: 1200,
      tokensOut: 350,
      latencyMs: 812,
      policyResult: 'allowed',
    },
  });
});

it('F69: each bad line has its reason', () => {
  expect(refusal({ ...LINE, tokens_in: '12' })).toEqual(['TOKENS', 'tokens_in']);
  expect(refusal({ ...LINE, status: 'weird' })).toEqual(['UNKNOWN_STATUS', 'status']);
  expect(refusal({ ...LINE, cost_cents: 1e-7 })).toEqual(['COST', 'cost_cents']);
  expect(refusal({ ...LINE, tenant_id: 't-b' }, { tenantId: 't-a' })).toEqual(['TENANT_MISMATCH', 'tenant_id']);
  expect(refusal([LINE])).toEqual(['MALFORMED', null]);
  expect(read({ ...LINE, region: 'eu' }).usage.metadata).toEqual({ extra: { region: 'eu' } });
});

describe('the line', () => {
  it.each(['', '{', 'null', '[]', '"text"', '7', '{"a":1}{"b":2}', "{'a':1}", '{"a":1,}', 'NaN'])(
    'is one JSON object: not %j',
    (line) => {
      expect(refusal(line)).toEqual(['MALFORMED', null]);
    },
  );
  it('takes white space around it, and the last of equal keys', () => {
    expect(read(` ${JSON.stringify(LINE).replace('{', '{"model":"first",')}\r`).usage.model).toBe('gpt-4o');
  });
});

describe('tenant, integration, provider, model', () => {
  it('the line’s own, else the option’s', () => {
    const options = { tenantId: 't-a', integrationId: 'int-9', provider: 'other', model: 'm-9' };
    expect(read(LINE, options)).toMatchObject({
      tenantId: 't-a',
      usage: { integrationId: 'int-1', provider: 'openai', model: 'gpt-4o' },
    });
    expect(read(without('tenant_id', 'integration_id', 'provider', 'model'), options)).toMatchObject({
      tenantId: 't-a',
      usage: { integrationId: 'int-9', provider: 'other', model: 'm-9' },
    });
  });
  it('a default tenant refuses nobody', () => {
    expect(read(LINE, { defaultTenantId: 't-b' }).tenantId).toBe('t-a');
    expect(read(without('tenant_id'), { defaultTenantId: 't-b' }).tenantId).toBe('t-b');
    expect(read(without('tenant_id'), { tenantId: 't-a', defaultTenantId: 't-b' }).tenantId).toBe('t-a');
  });
  it.each(['tenant_id', 'integration_id', 'provider', 'model'])('%s: neither is FIELD_MISSING', (key) => {
    expect(refusal(without(key))).toEqual(['FIELD_MISSING', key]);
  });
  it.each([
    ['tenant_id', 100],
    ['integration_id', 100],
    ['provider', 50],
    ['model', 100],
  ])('%s: a text of 1 to %d characters', (key, max) => {
    expect(refusal({ ...LINE, [key]: '\u{1f600}'.repeat(max) })).toBe('taken');
    for (const value of ['', 'x'.repeat(max + 1), 7, null, ['x'], true, 'a\0', '\ud83d'])
      expect(refusal({ ...LINE, [key]: value })).toEqual(['FIELD_INVALID', key]);
  });
  it('a tenant that is none is invalid before it is another', () => {
    expect(refusal({ ...LINE, tenant_id: '' }, { tenantId: 't-a' })).toEqual(['FIELD_INVALID', 'tenant_id']);
  });
});

describe('call_id', () => {
  it('is the line’s own where it has one', () => {
    expect(read({ ...LINE, call_id: 'c-1' }).callId).toBe('c-1');
    expect([read(LINE).callId, read({ ...LINE, call_id: null }).callId]).toEqual([null, null]);
  });
  it.each(['', ' ', 'x'.repeat(256), 7, 'a\nb', '\udc00'])('not %j', (call_id) => {
    expect(refusal({ ...LINE, call_id })).toEqual(['FIELD_INVALID', 'call_id']);
  });
});

describe('tokens', () => {
  it.each(['tokens_in', 'tokens_out'])('%s: a JSON number, whole, 0 to 1,000,000,000', (key) => {
    for (const value of [undefined, null, '12', -1, 1.5, 1_000_000_001, 1e300, true, [], {}])
      expect(refusal({ ...LINE, [key]: value })).toEqual(['TOKENS', key]);
    for (const text of ['0', '1000000000', '12.0', '1.2e1', '1e9'])
      expect(refusal(JSON.stringify({ ...LINE, [key]: '#' }).replace('"#"', text))).toBe('taken');
  });
  it('-0 is 0', () => {
    const { usage } = read(JSON.stringify(LINE).replace('1200', '-0').replace('812', '-0'));
    expect([Object.is(usage.tokensIn, 0), Object.is(usage.latencyMs, 0)]).toEqual([true, true]);
  });
});

describe('cost_cents', () => {
  it.each([
    ['"1.386"', '1.386'],
    ['"0012.50"', '12.5'],
    ['"99999999999999.999999"', '99999999999999.999999'],
    ['0', '0'],
    ['-0', '0'],
    ['1.386', '1.386'],
    ['0.000001', '0.000001'],
    ['1.5e2', '150'],
    ['123456789.123456', '123456789.123456'],
    ['99999999999999', '99999999999999'],
  ])('%s is %s', (text, cents) => {
    expect(read(JSON.stringify({ ...LINE, cost_cents: '#' }).replace('"#"', text)).costCents).toBe(cents);
  });
  it.each([
    ...['null', 'true', '[]', '{}', '""', '"x"', '" 1"', '"1e3"', '"1,5"', '"NaN"'],
    ...['"-1"', '-1', '-0.5', '"1.1234567"', '1.1234567', '"999999999999999"', '999999999999999'],
    ...['1e-7', '1e21', '1e300', '12345678901.123456', '0.1234567'],
  ])('not %s', (text) => {
    expect(refusal(JSON.stringify({ ...LINE, cost_cents: '#' }).replace('"#"', text))).toEqual(['COST', 'cost_cents']);
  });
  it('law: what a number’s shortest text says is taken exactly, or not at all', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 10n ** 18n }), (millionths) => {
        const digits = millionths.toString().padStart(7, '0');
        const cents = `${digits.slice(0, -6)}.${digits.slice(-6)}`;
        const line = JSON.stringify({ ...LINE, cost_cents: '#' }).replace('"#"', cents);
        // JSON knows no more than this of a number with many digits.
        const shortest = String(Number(cents));
        const significant = shortest.replace('.', '').replace(/^0+/, '').length;
        if (significant > 15 || shortest.includes('e')) expect(refusal(line)).toEqual(['COST', 'cost_cents']);
        else expect(read(line).costCents).toBe(toMoney(shortest));
        if (significant <= 15 && Number(shortest) * 1e6 < Number.MAX_SAFE_INTEGER)
          expect(read(line).costCents).toBe(toMoney(cents));
      }),
      { numRuns: 500 },
    );
  });
});

describe('latency_ms', () => {
  it('a whole number, or null as absent', () => {
    expect(read({ ...LINE, latency_ms: 2_147_483_647 }).usage.latencyMs).toBe(2_147_483_647);
    for (const record of [{ ...LINE, latency_ms: null }, without('latency_ms')])
      expect(read(record).usage).not.toHaveProperty('latencyMs');
  });
  it.each([-1, 1.5, '812', 2_147_483_648, true, []])('not %j', (latency_ms) => {
    expect(refusal({ ...LINE, latency_ms })).toEqual(['FIELD_INVALID', 'latency_ms']);
  });
});

describe('status, policy_result, error_code, error_message', () => {
  it.each([
    [undefined, 'allowed', undefined],
    ['ok', 'allowed', undefined],
    ['success', 'allowed', undefined],
    ['succeeded', 'allowed', undefined],
    ['warned', 'warned', undefined],
    ['blocked', 'blocked', undefined],
    ['error', 'allowed', 'error'],
    ['failed', 'allowed', 'failed'],
    ['timeout', 'allowed', 'timeout'],
  ])('%s: %s, error %s; policy_result and error_code win', (status, policyResult, errorCode) => {
    const { usage } = read({ ...LINE, status });
    expect([usage.policyResult, usage.errorCode]).toEqual([policyResult, errorCode]);
    expect(read({ ...LINE, status, policy_result: 'blocked', error_code: 'E1' }).usage).toMatchObject({
      policyResult: 'blocked',
      errorCode: 'E1',
    });
  });
  it.each(['weird', 'OK', '', ' ok', 7, null, ['ok'], 'toString', '__proto__', 'constructor'])(
    'no status: %j',
    (status) => {
      expect(refusal({ ...LINE, status })).toEqual(['UNKNOWN_STATUS', 'status']);
    },
  );
  it.each(['maybe', '', null, 1, 'toString'])('no policy_result: %j', (policy_result) => {
    expect(refusal({ ...LINE, policy_result })).toEqual(['FIELD_INVALID', 'policy_result']);
  });
  it('an error code of an ok call stays: it counts as an error', () => {
    expect(read({ ...LINE, error_code: 'E1', error_message: 'm' }).usage).toMatchObject({
      policyResult: 'allowed',
      errorCode: 'E1',
      errorMessage: 'm',
    });
  });
  it('a message needs a code, its own or the status’s', () => {
    expect(refusal({ ...LINE, error_message: 'm' })).toEqual(['FIELD_INVALID', 'error_message']);
    expect(read({ ...LINE, status: 'failed', error_message: 'm' }).usage.errorMessage).toBe('m');
  });
});

describe('further texts', () => {
  const failed = { ...LINE, status: 'failed' };
  it.each([
    ['error_code', 50, 'errorCode'],
    ['error_message', 8000, 'errorMessage'],
    ['session_id', 100, 'sessionId'],
    ['agent_id', 100, 'agentId'],
  ])('%s: 1 to %d characters; null is absent', (key, max, property) => {
    expect(read({ ...failed, [key]: 'ü'.repeat(max) }).usage).toHaveProperty(property, 'ü'.repeat(max));
    for (const value of ['', 'x'.repeat(max + 1), 7, {}, 'a\0', '\ud83d'])
      expect(refusal({ ...failed, [key]: value })).toEqual(['FIELD_INVALID', key]);
    expect(read({ ...failed, [key]: null }).usage).toEqual(read(failed).usage);
  });
});

describe('metadata', () => {
  it('the given object, and other keys under extra', () => {
    expect(read(LINE).usage).not.toHaveProperty('metadata');
    expect(read({ ...LINE, metadata: null }).usage).not.toHaveProperty('metadata');
    expect(read({ ...LINE, metadata: { a: [1, null] } }).usage.metadata).toEqual({ a: [1, null] });
    expect(read({ ...LINE, metadata: { extra: 1 } }).usage.metadata).toEqual({ extra: 1 });
    expect(read({ ...LINE, metadata: { a: 1 }, region: 'eu', toString: { x: null } }).usage.metadata).toEqual({
      a: 1,
      extra: { region: 'eu', toString: { x: null } },
    });
  });
  it('metadata.extra and other keys are one too many', () => {
    expect(refusal({ ...LINE, metadata: { extra: 1 }, region: 'eu' })).toEqual(['FIELD_INVALID', 'metadata']);
  });
  it.each([
    ['no object', { metadata: 'x' }],
    ['a list', { metadata: [] }],
    ['over 64 KiB', { metadata: { x: 'y'.repeat(65_536) } }],
    ['over 64 KiB with the other keys', { metadata: { x: 'y'.repeat(40_000) }, z: 'y'.repeat(40_000) }],
    ['too deep', { metadata: JSON.parse('{"a":'.repeat(21) + '1' + '}'.repeat(21)) as object }],
    ['half a character', { note: '\ud83d' }],
    ['a NUL', { note: 'a\0' }],
  ])('%s', (_, more) => {
    expect(refusal({ ...LINE, ...more })).toEqual(['FIELD_INVALID', 'metadata']);
  });
  it('__proto__ is refused, and changes no prototype', () => {
    const line = (json: string): string => JSON.stringify(LINE).replace('{', `{${json},`);
    expect(refusal(line('"__proto__":{"tokens_in":5}'))).toEqual(['FIELD_INVALID', 'metadata']);
    expect(refusal(line('"metadata":{"__proto__":{"a":1}}'))).toEqual(['FIELD_INVALID', 'metadata']);
    expect(({} as Record<string, unknown>)['tokens_in']).toBeUndefined();
  });
});

describe('occurred_at, timestamp, created_at', () => {
  const instant = (value: unknown): string => {
    const parsed = parse({ ...LINE, occurred_at: value });
    return 'reject' in parsed ? `${parsed.reject} ${parsed.field}` : (parsed.usage.occurredAt?.toISOString() ?? 'none');
  };
  it('the first that is present, absent in none', () => {
    const [a, b, c] = ['2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z', '2026-01-03T00:00:00Z'];
    const day = (record: object) => read(record).usage.occurredAt?.getUTCDate();
    expect(day({ created_at: c, timestamp: b, occurred_at: a, ...LINE })).toBe(1);
    expect(day({ ...LINE, created_at: c, timestamp: b })).toBe(2);
    expect(day({ ...LINE, created_at: c })).toBe(3);
    expect(read(LINE).usage).not.toHaveProperty('occurredAt');
    expect(refusal({ ...LINE, created_at: c, timestamp: 'soon' })).toEqual(['TIMESTAMP', 'timestamp']);
  });
  it.each([
    ['2026-03-10T12:00:00Z', '2026-03-10T12:00:00.000Z'],
    ['2026-03-10t12:00z', '2026-03-10T12:00:00.000Z'],
    ['2026-03-10 12:00:00.5+00:00', '2026-03-10T12:00:00.500Z'],
    ['2026-03-10T12:00:00.999999999Z', '2026-03-10T12:00:00.999Z'],
    ['2026-03-10T00:30:00+05:30', '2026-03-09T19:00:00.000Z'],
    ['2026-03-10T23:30:00-0845', '2026-03-11T08:15:00.000Z'],
    ['2024-02-29T23:59:59+14:00', '2024-02-29T09:59:59.000Z'],
    [1_773_144_000_000, '2026-03-10T12:00:00.000Z'],
    [0, '1970-01-01T00:00:00.000Z'],
  ])('%s is %s', (value, iso) => {
    expect(instant(value)).toBe(iso);
  });
  it.each([
    ...[
      '2026-03-10T12:00:00',
      '2026-03-10',
      '',
      'now',
      '1773144000000',
      '2026-02-30T00:00:00Z',
      '2026-03-10T24:00:00Z',
    ],
    ...['2026-03-10T12:00:60Z', '2026-03-10T12:00:00+24:00', '2026-03-10T12:00:00+01:60', '2026-13-10T12:00:00Z'],
    ...[' 2026-03-10T12:00:00Z', '+002026-03-10T12:00:00Z', 'Tue, 10 Mar 2026 12:00:00 GMT', '2026-03-10T12:00:00 Z'],
    ...[1.5, 9e15, 2 ** 53, null, true, [], {}],
  ])('not %j', (value) => {
    expect(instant(value)).toBe('TIMESTAMP occurred_at');
  });
  it('law: any instant in any offset is the same instant', () => {
    const at = fc.date({ min: new Date('0001-01-02'), max: new Date('9999-12-30'), noInvalidDate: true });
    fc.assert(
      fc.property(at, fc.integer({ min: -1439, max: 1439 }), fc.boolean(), (date, minutes, colon) => {
        const wall = new Date(date.getTime() + minutes * 60_000).toISOString().slice(0, -1);
        const [hours, rest] = [Math.trunc(Math.abs(minutes) / 60), Math.abs(minutes) % 60].map((n) =>
          String(n).padStart(2, '0'),
        );
        expect(instant(`${wall}${minutes < 0 ? '-' : '+'}${hours}${colon ? ':' : ''}${rest}`)).toBe(date.toISOString());
        expect(instant(date.getTime())).toBe(date.toISOString());
      }),
      { numRuns: 300 },
    );
  });
});

describe('one reject a line', () => {
  /** In the order of the documented table, each with a value that only its own rule refuses. */
  const FAULTS: readonly (readonly [string, unknown, string, string])[] = [
    ['tenant_id', 't-b', 'TENANT_MISMATCH', 'tenant_id'],
    ['integration_id', '', 'FIELD_INVALID', 'integration_id'],
    ['provider', 7, 'FIELD_INVALID', 'provider'],
    ['model', '', 'FIELD_INVALID', 'model'],
    ['call_id', ' ', 'FIELD_INVALID', 'call_id'],
    ['tokens_in', '12', 'TOKENS', 'tokens_in'],
    ['tokens_out', -1, 'TOKENS', 'tokens_out'],
    ['cost_cents', 1e-7, 'COST', 'cost_cents'],
    ['latency_ms', 0.5, 'FIELD_INVALID', 'latency_ms'],
    ['status', 'weird', 'UNKNOWN_STATUS', 'status'],
    ['policy_result', 'maybe', 'FIELD_INVALID', 'policy_result'],
    ['error_code', '', 'FIELD_INVALID', 'error_code'],
    ['error_message', '', 'FIELD_INVALID', 'error_message'],
    ['session_id', '', 'FIELD_INVALID', 'session_id'],
    ['agent_id', '', 'FIELD_INVALID', 'agent_id'],
    ['metadata', 'x', 'FIELD_INVALID', 'metadata'],
    ['occurred_at', 'soon', 'TIMESTAMP', 'occurred_at'],
    ['other', '\ud83d', 'FIELD_INVALID', 'metadata'],
  ];

  it('law: that of the first rule that fails, in the order of the table, wherever the keys stand', () => {
    const some = fc.subarray(
      FAULTS.map((_, n) => n),
      { minLength: 1 },
    );
    fc.assert(
      fc.property(some, fc.boolean(), (chosen, reversed) => {
        const faults = chosen.map((n) => FAULTS[n] ?? ['', null, '', '']);
        const entries = Object.entries({ ...LINE, ...Object.fromEntries(faults) });
        const record = Object.fromEntries(reversed ? entries.reverse() : entries);
        expect(refusal(record, { tenantId: 't-a' })).toEqual([faults[0]?.[2], faults[0]?.[3]]);
      }),
      { numRuns: 400 },
    );
  });

  it('law: any JSON has an answer, and neither a message nor a field repeats what the line says', () => {
    const value = fc.oneof(fc.jsonValue({ maxDepth: 3 }), fc.constantFrom('ok', 'failed', 1, 0, 'hunter2-hunter2'));
    const keys = [...FAULTS.map(([key]) => key), 'timestamp', 'created_at', 'extra', '__proto__', 'constructor'];
    const record = fc.dictionary(fc.constantFrom(...keys), value, { maxKeys: 8, noNullPrototype: true });
    fc.assert(
      fc.property(record, (more) => {
        const parsed = parse({ ...LINE, ...more });
        if ('reject' in parsed) expect(`${parsed.message} ${parsed.field}`).not.toContain('hunter2');
        else expect(parsed.record).toBeDefined();
      }),
      { numRuns: 1000 },
    );
  });
});
