import { assertOneOf, DataIntegrityError, HocError } from '@hoc/shared/kernel';

/**
 * A column's text as one of the values that its CHECK lets through.
 * @throws DataIntegrityError naming `field`: another value says that the schema isn't of this version
 */
export function storedValue<T extends string>(value: string, list: readonly T[], field: string): T {
  if (list.includes(value as T)) return value as T;
  try {
    return assertOneOf(value, list, field);
  } catch (error) {
    if (!HocError.is(error)) throw error;
    throw new DataIntegrityError(`${field} holds a value that this version doesn't know`, {
      details: { field, reason: 'unknown_value' },
    });
  }
}
