/** What JSON can say. */
export type JsonValue = string | number | boolean | null | readonly JsonValue[] | JsonObject;
/** A JSON object: what a `jsonb` column and the details of an error hold. */
export interface JsonObject {
  readonly [key: string]: JsonValue;
}
