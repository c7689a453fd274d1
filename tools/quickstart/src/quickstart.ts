import { join, resolve } from 'node:path';
import { startDurable } from '@hoc/pg-server';
import { HocError } from '@hoc/shared/kernel';
import { type App, openHoc } from './app';
import type { Arguments } from './arguments';
import { importFile, type OpenedSource } from './import-file';
import { type Output, printFile, printWorkload } from './output';
import { loadPrices } from './prices';
import { createProgress, type Progress } from './progress';
import { openRejects } from './rejects';
import { runWorkload } from './run-workload';
import { openSource } from './sources';

/** 0 all accepted or duplicate, 1 stopped by an error, 2 something was rejected. */
export type ExitCode = 0 | 1 | 2;

/** The main job: server, migrations, import, report. */
export async function quickstart(args: Arguments, output: Output, signal: AbortSignal): Promise<ExitCode> {
  const cleanup: (() => Promise<void>)[] = [];
  try {
    const prices = loadPrices(args.prices);
    // Before the server and the migrations: a file that can't be read must change nothing.
    const sources = await openAll(args.files);
    const url = args.url ?? (await localServer(args, output, cleanup));
    const app = openHoc(url);
    cleanup.push(() => app.close());
    const progress = createProgress(process.stderr);
    await migrate(app, progress);
    const rejects = openRejects(args.rejects, output.stderr);
    const context = { app, args, prices, rejects, progress, signal };
    if (sources.length === 0) printWorkload(await runWorkload(app, progress, signal), output);
    for (const source of sources) printFile(await importFile(source, context), output);
    await rejects.close();
    return rejects.count() > 0 ? 2 : 0;
  } catch (error) {
    output.stderr(`${explain(error)}\n`);
    return 1;
  } finally {
    for (const step of cleanup.reverse()) await step().catch(() => undefined);
  }
}

async function openAll(files: readonly string[]): Promise<readonly OpenedSource[]> {
  const opened: OpenedSource[] = [];
  for (const path of files) {
    let bytes = 0;
    const source = await openSource(path, (read) => {
      bytes += read;
    });
    opened.push({ ...source, path, bytesRead: () => bytes });
  }
  return opened;
}

async function localServer(args: Arguments, output: Output, cleanup: (() => Promise<void>)[]): Promise<string> {
  // dist/src or src, below tools/quickstart.
  const repositoryRoot = resolve(__dirname, join(__dirname.includes('dist') ? '../../../..' : '../../..'));
  const onNotice = (text: string): void => output.stderr(`${text}\n`);
  const server = await startDurable({ repositoryRoot, reset: args.reset, onNotice });
  cleanup.push(() => server.stop());
  return server.url;
}

async function migrate(app: App, progress: Progress): Promise<void> {
  let begun = false;
  const { applied } = await app.migrate({
    onProgress: ({ index, total }) => {
      if (!begun) progress.start(total, 'migrating', 'migrations');
      begun = true;
      progress.update(index, index);
    },
  });
  if (!begun) return;
  progress.update(applied.length, applied.length);
  progress.stop();
}

/** Code and message, no stack; and what to do. */
function explain(error: unknown): string {
  if (!HocError.is(error)) return error instanceof Error ? `error: ${error.message}` : 'error: unknown';
  const { firstLine, lastLine, reason } = error.details;
  const where = firstLine === undefined ? '' : ` (lines ${String(firstLine)} to ${String(lastLine)})`;
  const stopped = reason === 'aborted' || error.code === 'UNAVAILABLE';
  const hint = stopped ? '\nWhat was committed stays; run the same command again to complete it.' : '';
  return `${error.code}: ${error.message}${where}${hint}`;
}
