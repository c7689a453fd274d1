import fc from 'fast-check';
import { isAzureTraceHeader, parseAzureTraceLine } from './azure-trace.engine';

const refusal = (line: string): readonly [string, string | null] | 'taken' => {
  const parsed = parseAzureTraceLine(line);
  return 'reject' in parsed ? [parsed.reject, parsed.field] : 'taken';
};
const at = (timestamp: string): string => {
  const parsed = parseAzureTraceLine(`${timestamp},1,1`);
  return 'reject' in parsed ? parsed.reject : parsed.at.toISOString();
};

it('F61, F62: lines of the public file', () => {
  expect(parseAzureTraceLine('2023-11-16 18:15:46.6805900,374,44')).toEqual({
    timestampText: '2023-11-16 18:15:46.6805900',
    at: new Date('2023-11-16T18:15:46.680Z'),
    contextTokens: 374,
    generatedTokens: 44,
  });
  expect(parseAzureTraceLine('2023-11-16 18:15:51.3910170,91,16')).toMatchObject({
    at: new Date('2023-11-16T18:15:51.391Z'),
    contextTokens: 91,
    generatedTokens: 16,
  });
});

it.each([
  ['2023-11-16 18:15:46,-1,5', ['TOKENS', 'ContextTokens']],
  ['2023-02-30 00:00:00,1,1', ['TIMESTAMP', 'TIMESTAMP']],
  ['a,b', ['MALFORMED', null]],
])('F68: %s', (line, expected) => {
  expect(refusal(line)).toEqual(expected);
});

describe('header', () => {
  it.each([
    'TIMESTAMP,ContextTokens,GeneratedTokens',
    '"TIMESTAMP","ContextTokens","GeneratedTokens"',
    'TIMESTAMP,"ContextTokens",GeneratedTokens',
  ])('%s', (line) => {
    expect(isAzureTraceHeader(line)).toBe(true);
  });
  it.each([
    '',
    'timestamp,ContextTokens,GeneratedTokens',
    'TIMESTAMP,ContextTokens',
    'TIMESTAMP,ContextTokens,GeneratedTokens,',
    'TIMESTAMP,GeneratedTokens,ContextTokens',
    'TIMESTAMP, ContextTokens,GeneratedTokens',
    ',TIMESTAMP,ContextTokens,GeneratedTokens',
    '"TIMESTAMP,ContextTokens,GeneratedTokens',
    'TIMESTAMP;ContextTokens;GeneratedTokens',
  ])('not %j', (line) => {
    expect(isAzureTraceHeader(line)).toBe(false);
  });
});

describe('fields', () => {
  it('may be quoted, each or all', () => {
    const bare = parseAzureTraceLine('2023-11-16 18:15:46,374,44');
    expect(parseAzureTraceLine('"2023-11-16 18:15:46","374","44"')).toEqual(bare);
    expect(parseAzureTraceLine('2023-11-16 18:15:46,"374",44')).toEqual(bare);
  });

  it.each(['', ',', ',1,2,3', ',,,', 'a', 'a,b', 'a,b,c,', '"a,b,c', '"a"b,1,2', 'a"b,1,2', '"a""",1,2,3', '"'])(
    'three, or MALFORMED: %j',
    (line) => {
      expect(refusal(line)).toEqual(['MALFORMED', null]);
    },
  );

  it('an empty field is a field: its own rule refuses it', () => {
    expect([',1,2', '2023-11-16 18:15:46,,2', '2023-11-16 18:15:46,1,', ',,'].map(refusal)).toEqual([
      ['TIMESTAMP', 'TIMESTAMP'],
      ['TOKENS', 'ContextTokens'],
      ['TOKENS', 'GeneratedTokens'],
      ['TIMESTAMP', 'TIMESTAMP'],
    ]);
  });

  it('law: what RFC 4180 writes is read back', () => {
    const field = fc.string({ unit: fc.constantFrom('"', ',', 'a', ' ', '1') });
    const quoted = (text: string): string => `"${text.replaceAll('"', '""')}"`;
    fc.assert(
      fc.property(fc.array(field, { minLength: 1, maxLength: 5 }), (fields) => {
        const taken = refusal(fields.map(quoted).join(','));
        expect(taken[0] === 'MALFORMED').toBe(fields.length !== 3);
        const [context, generated] = fields;
        const line = ['2023-11-16 18:15:46', context, generated].map((each) => quoted(each ?? '')).join(',');
        const digits = (text: string | undefined): boolean => /^1{1,9}$/.test(text ?? '');
        expect(refusal(line) === 'taken').toBe(digits(context) && digits(generated));
      }),
      { numRuns: 300 },
    );
  });

  it('law: any text has an answer, and exactly one', () => {
    const unit = fc.constantFrom('"', ',', '1', '-', ':', ' ', 'T', '.', '2023-11-16 18:15:46', '\r', '\0', 'ü');
    fc.assert(
      fc.property(fc.string({ unit, maxLength: 20 }), (line) => {
        const parsed = parseAzureTraceLine(line);
        expect('reject' in parsed).not.toBe('at' in parsed);
      }),
      { numRuns: 1000 },
    );
  });

  it('a line of 1 MiB is answered too, whatever stands in it', () => {
    for (const filler of [',', '"', 'x', '""', '",'])
      expect(refusal(filler.repeat(1_048_576 / filler.length))).toEqual(['MALFORMED', null]);
  });
});

describe('TIMESTAMP', () => {
  it.each([
    ['2023-11-16T18:15:46', '2023-11-16T18:15:46.000Z'],
    ['2023-11-16 18:15:46.1', '2023-11-16T18:15:46.100Z'],
    ['2023-11-16 18:15:46Z', '2023-11-16T18:15:46.000Z'],
    ['2023-11-16 18:15:46.5+00:00', '2023-11-16T18:15:46.500Z'],
    ['2024-02-29 00:00:00', '2024-02-29T00:00:00.000Z'],
    ['2023-11-16 23:59:59.999999999', '2023-11-16T23:59:59.999Z'],
  ])('%s: cut to the millisecond, and never into the next day', (text, iso) => {
    expect(at(text)).toBe(iso);
  });

  it.each([
    '2023-11-16',
    '2023-11-16 18:15',
    '2023-11-16  18:15:46',
    '2023-11-16 18:15:60',
    '2023-11-16 24:00:00',
    '2023-11-16 18:60:00',
    '2023-13-01 00:00:00',
    '2023-02-29 00:00:00',
    '2023-00-10 00:00:00',
    '2023-11-16 18:15:46.',
    '2023-11-16 18:15:46.1234567890',
    '2023-11-16 18:15:46+01:00',
    '2023-11-16 18:15:46-00:00',
    '2023-11-16 18:15:46z',
    ' 2023-11-16 18:15:46',
    '16/11/2023 18:15:46',
    '1700158546000',
    '２０２３-11-16 18:15:46',
  ])('not %j', (text) => {
    expect(at(text)).toBe('TIMESTAMP');
  });

  it('law: any instant is read, to the millisecond, whatever the machine’s time zone says', () => {
    const instant = fc.date({ min: new Date(0), max: new Date('9999-12-31T23:59:59.999Z'), noInvalidDate: true });
    const before = process.env['TZ'];
    try {
      for (const zone of ['Pacific/Apia', 'UTC']) {
        process.env['TZ'] = zone;
        fc.assert(
          fc.property(instant, fc.integer({ min: 0, max: 999_999 }), (date, nanoseconds) => {
            const text = date.toISOString().replace('T', ' ').replace('Z', String(nanoseconds).padStart(6, '0'));
            expect(at(text)).toBe(date.toISOString());
          }),
          { numRuns: 200 },
        );
      }
    } finally {
      if (before === undefined) delete process.env['TZ'];
      else process.env['TZ'] = before;
    }
  });
});

describe('tokens', () => {
  it.each([
    ['0', 0],
    ['1000000000', 1_000_000_000],
    ['0000000007', 7],
  ])('%s', (text, tokens) => {
    expect(parseAzureTraceLine(`2023-11-16 18:15:46,${text},${text}`)).toMatchObject({
      contextTokens: tokens,
      generatedTokens: tokens,
    });
  });
  it.each(['', '-1', '+1', '1.0', '1e3', '0x10', ' 1', '1 ', '1000000001', '99999999999', 'NaN', '١'])(
    'not %j, and the first such column is named',
    (text) => {
      expect(refusal(`2023-11-16 18:15:46,1,${text}`)).toEqual(['TOKENS', 'GeneratedTokens']);
      expect(refusal(`2023-11-16 18:15:46,${text},${text}`)).toEqual(['TOKENS', 'ContextTokens']);
    },
  );
});
