import { pgErrorToHocError } from './pg-error';

/**
 * Runs `work` and maps whatever it throws with {@link pgErrorToHocError}, so that no raw database error leaves a driver.
 * @throws HocError always, never anything else
 */
export async function guarded<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw pgErrorToHocError(error);
  }
}
