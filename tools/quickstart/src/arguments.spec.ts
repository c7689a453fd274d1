import { parseArguments } from './arguments';
import { datasetOf, formatOf } from './sources';

describe('parseArguments', () => {
  it('has the documented defaults', () => {
    expect(parseArguments([], '1.2.3')).toEqual({
      files: [],
      url: null,
      tenant: 'quickstart',
      tenantGiven: false,
      integration: 'quickstart',
      model: 'gpt-4',
      prices: null,
      rejects: null,
      reset: false,
      json: false,
      chunkSize: 1000,
    });
  });
  it('takes files in the given order, and knows whether a tenant was named', () => {
    expect(
      parseArguments(['--file', 'b.csv', '--file', '-', '--tenant', 'quickstart', '--json', '--chunk-size', '37'], '1'),
    ).toMatchObject({ files: ['b.csv', '-'], tenantGiven: true, json: true, chunkSize: 37 });
  });
  it.each([
    [['--nope']],
    [['--file']],
    [['word']],
    [['--chunk-size', '20001']],
    [['--chunk-size', 'x']],
    [['--reset', '--url', 'postgresql://x']],
    [['--url', 'http://x']],
    [['--file', '-', '--file', '-']],
    [['--file', '']],
  ])('%j is wrong usage', (argv) => {
    expect(parseArguments(argv, '1')).toMatchObject({
      exitCode: 64,
      text: expect.stringMatching(/^error: /) as string,
    });
  });
  it('answers help and version', () => {
    expect(parseArguments(['--help'], '1')).toMatchObject({
      exitCode: 0,
      text: expect.stringContaining('--rejects') as string,
    });
    expect(parseArguments(['--version'], '1.2.3')).toEqual({ exitCode: 0, text: '1.2.3\n' });
  });
});

describe('a source', () => {
  it.each([
    ['/data/AzureLLMInferenceTrace_conv.csv', 'AzureLLMInferenceTrace_conv'],
    ['a b/my export (1).2025.jsonl.gz', 'my-export--1-.2025'],
    ['-', 'stdin'],
    ['.hidden', '.hidden'],
    [`${'x'.repeat(80)}.csv`, 'x'.repeat(64)],
  ])('%s is the dataset %s', (path, dataset) => expect(datasetOf(path)).toBe(dataset));
  it('is told by its first line', () => {
    expect(
      ['TIMESTAMP,ContextTokens,GeneratedTokens', '"TIMESTAMP",a', '{"a":1}', 'timestamp,x', '[1]', ''].map(formatOf),
    ).toEqual(['azure-trace', 'azure-trace', 'json-lines', null, null, null]);
    expect([formatOf(null), formatOf({ error: 'MALFORMED', raw: '' })]).toEqual([null, null]);
  });
});
