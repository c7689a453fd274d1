import { parseArguments } from './arguments';
import { processOutput } from './output';
import { quickstart } from './quickstart';
import { version } from './version';

async function main(): Promise<number> {
  const parsed = parseArguments(process.argv.slice(2), version());
  if ('exitCode' in parsed) {
    (parsed.exitCode === 0 ? process.stdout : process.stderr).write(parsed.text);
    return parsed.exitCode;
  }
  const stop = new AbortController();
  const interrupt = (): void => {
    // The first stops between two transactions; who asks again is in a hurry.
    if (stop.signal.aborted) process.exit(1);
    process.stderr.write('\ninterrupted: stopping after the transaction that runs\n');
    stop.abort();
  };
  process.on('SIGINT', interrupt);
  process.on('SIGTERM', interrupt);
  return quickstart(parsed, processOutput(parsed.json), stop.signal);
}

void main().then((code) => {
  // Standard input may still be open; exit once what was written is flushed.
  process.exitCode = code;
  process.stdin.destroy();
});
