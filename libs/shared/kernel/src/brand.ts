/** A string that passed its check; the brand exists for the type checker only. */
export type Brand<T, N extends string> = T & { readonly __hoc?: N };

/** Opaque, 1–100 code points; never parsed, trimmed or folded. */
export type TenantId = Brand<string, 'TenantId'>;
/** Opaque, 1–100 code points. */
export type RunId = Brand<string, 'RunId'>;
/** Opaque, 1–255 code points; unique per tenant. */
export type CallId = Brand<string, 'CallId'>;
/** Opaque, 1–100 code points. */
export type IntegrationId = Brand<string, 'IntegrationId'>;
