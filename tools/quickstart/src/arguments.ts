import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';

/** What the command line asks for. */
export interface Arguments {
  /** In the given order; `-` is standard input. None: the generated workload. */
  readonly files: readonly string[];
  readonly url: string | null;
  readonly tenant: string;
  /** Whether --tenant was given, and is not the default. */
  readonly tenantGiven: boolean;
  readonly integration: string;
  readonly model: string;
  readonly prices: string | null;
  readonly rejects: string | null;
  readonly reset: boolean;
  readonly json: boolean;
  readonly chunkSize: number;
}

/** Said instead of running: help, the version, or what is wrong. */
export interface Answer {
  readonly exitCode: 0 | 64;
  readonly text: string;
}

interface Options extends Omit<Arguments, 'files' | 'url' | 'prices' | 'rejects' | 'tenantGiven'> {
  readonly file: readonly string[];
  readonly url?: string;
  readonly prices?: string;
  readonly rejects?: string;
}

/** Reads the flags; wrong usage is an {@link Answer} with exit code 64. */
export function parseArguments(argv: readonly string[], version: string): Arguments | Answer {
  let text = '';
  const write = (part: string): void => {
    text += part;
  };
  const command = describe(version).exitOverride().configureOutput({ writeOut: write, writeErr: write });
  try {
    command.parse([...argv], { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return { exitCode: error.exitCode === 0 ? 0 : 64, text };
  }
  const { file, url, prices, rejects, ...rest } = command.opts<Options>();
  const wrong = misuse(file, url, rest.reset);
  if (wrong !== null) return { exitCode: 64, text: `error: ${wrong}\n` };
  const tenantGiven = command.getOptionValueSource('tenant') === 'cli';
  return { ...rest, tenantGiven, files: file, url: url ?? null, prices: prices ?? null, rejects: rejects ?? null };
}

function describe(version: string): Command {
  return new Command('npm start --')
    .description('Imports usage of LLM calls, each call exactly once, and reports what it used and cost.')
    .version(version)
    .option('--file <path>', 'a trace (CSV) or JSON lines, gzip or not; repeatable; - is standard input', collect, [])
    .option('--url <url>', 'a PostgreSQL of your own; absent: a local server that keeps its data')
    .option('--tenant <id>', 'tenant of the calls', 'quickstart')
    .option('--integration <id>', 'integration of the calls', 'quickstart')
    .option('--model <name>', 'model of a trace, and of JSON lines without one', 'gpt-4')
    .option('--prices <path>', 'price table (JSON); absent: azure_openai gpt-4 from 2023-03-14')
    .option('--rejects <path>', 'where refused lines go, as JSON lines; absent: the first 20 to standard error')
    .option('--reset', 'first remove the data of the local server', false)
    .option('--json', 'one JSON object per file on standard output', false)
    .addOption(new Option('--chunk-size <n>', 'calls of one transaction').default(1000).argParser(chunkSize))
    .allowExcessArguments(false);
}

const collect = (path: string, before: readonly string[]): readonly string[] => [...before, path];

function chunkSize(text: string): number {
  const size = Number(text);
  if (!Number.isInteger(size) || size < 1 || size > 20_000) throw new InvalidArgumentError('1 to 20000.');
  return size;
}

function misuse(files: readonly string[], url: string | undefined, reset: boolean): string | null {
  if (reset && url !== undefined) return '--reset empties the local server only, and --url names one of your own';
  if (files.filter((file) => file === '-').length > 1) return 'standard input can be read once';
  if (files.includes('')) return '--file needs a path';
  if (url !== undefined && !/^postgres(ql)?:\/\//.test(url)) return '--url must begin with postgresql://';
  return null;
}
