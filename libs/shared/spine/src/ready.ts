import type { DataSource } from 'typeorm';

const starting = new WeakMap<DataSource, Promise<unknown>>();

/** Initialises a DataSource that isn't, once, also for callers at the same time. */
export async function ready(source: DataSource): Promise<DataSource> {
  if (source.isInitialized) return source;
  let start = starting.get(source);
  if (start === undefined) {
    start = source.initialize().finally(() => starting.delete(source));
    starting.set(source, start);
  }
  await start;
  return source;
}
