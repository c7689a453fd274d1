import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from 'pg';

/** A process of its own that holds a server, so that a test can kill it. */
export interface Starter {
  readonly url: string;
  /** SIGKILL; resolves when the process is gone. */
  readonly kill: () => Promise<void>;
}

/** Starts `call` (an expression on `server`, this package) in a new process; rejects with what it failed with. */
export async function startElsewhere(call: string): Promise<Starter> {
  const program = `const server = require(${JSON.stringify(join(__dirname, 'index.cjs'))});
    ${call}.then(({ url }) => { process.stdout.write(url + '\\n'); setInterval(() => {}, 1000); },
      (error) => { process.stderr.write(error.message); process.exit(1); });`;
  const child = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'pipe'] });
  const exited = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const url = await firstLine(child, exited);
  return {
    url,
    kill: async () => {
      child.kill('SIGKILL');
      await exited;
    },
  };
}

async function firstLine(child: ChildProcess, exited: Promise<void>): Promise<string> {
  let out = '';
  let err = '';
  child.stderr?.on('data', (chunk) => (err += String(chunk)));
  const line = new Promise<string>((resolve) => {
    child.stdout?.on('data', (chunk) => {
      out += String(chunk);
      if (out.includes('\n')) resolve(out.trim());
    });
  });
  return Promise.race([
    line,
    exited.then(() => {
      throw new Error(err);
    }),
  ]);
}

/** One connection for the length of one statement. */
export async function ask<Row extends object>(url: string, text: string): Promise<Row> {
  const client = new Client({ connectionString: url });
  // A server that is killed under the connection must fail the test's own check, not the process.
  client.on('error', () => undefined);
  await client.connect();
  try {
    const { rows } = await client.query<Row>(text);
    return rows[0] ?? ({} as Row);
  } finally {
    await client.end();
  }
}

/** The process of the server, and the folder of its data. */
export async function serverOf(url: string): Promise<{ readonly pid: number; readonly data: string }> {
  const file = `split_part(pg_read_file('postmaster.pid'), E'\\n', 1)::int`;
  return ask(url, `SELECT ${file} AS pid, current_setting('data_directory') AS data`);
}

export function isRunning(pid: number): boolean {
  return existsSync(`/proc/${pid}`) || signals(pid);
}

function signals(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** Against hanging alone: what takes a moment on a quiet machine may take long on a busy one. */
const LIMIT_MS = 60_000;

/** Polls until so. */
export async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  for (let waited = 0; waited < LIMIT_MS; waited += 50) {
    if (await condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`still not so after ${LIMIT_MS} ms: ${what}`);
}
