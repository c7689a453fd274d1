import { pgErrorToHocError } from '@hoc/shared/drivers';
import { UnavailableError } from '@hoc/shared/kernel';
import type { DataSource } from 'typeorm';

const starting = new WeakMap<DataSource, Promise<unknown>>();

/**
 * Initialises a DataSource that isn't, once, also for callers at the same time.
 * @throws UnavailableError where the database can't be reached or refuses; what TypeORM says of a bad configuration as it is
 */
export async function ready(source: DataSource): Promise<DataSource> {
  if (source.isInitialized) return source;
  let start = starting.get(source);
  if (start === undefined) {
    start = source.initialize().finally(() => starting.delete(source));
    starting.set(source, start);
  }
  try {
    await start;
  } catch (error) {
    const mapped = pgErrorToHocError(error);
    throw UnavailableError.is(mapped) ? mapped : error;
  }
  return source;
}
