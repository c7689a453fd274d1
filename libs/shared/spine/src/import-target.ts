import {
  ConflictError,
  assertId,
  assertTenantId,
  CUS_PROVIDER_TYPES,
  type CusProviderType,
  assertOneOf,
  invalid,
  type ReadDeps,
  sha256Hex,
  textFault,
} from '@hoc/shared/kernel';
import { type DriverManager, guarded, runOne, statement } from '@hoc/shared/drivers';

/** A tenant and an integration that an import writes to. */
export interface ImportTarget {
  readonly tenantId: string;
  /** Default: the tenant id. */
  readonly tenantName?: string;
  readonly integrationId: string;
  /** Default: the integration id. */
  readonly integrationName?: string;
  /** Default `custom`. */
  readonly providerType?: CusProviderType;
}

/** Which of the two were missing. */
export interface ImportTargetResult {
  readonly tenantCreated: boolean;
  readonly integrationCreated: boolean;
}

/**
 * Makes the tenant and the integration (enabled, without a usable credential) where they are missing, and changes nothing
 * that exists. For the quickstart, the command line and examples; needs no transaction: what it makes, it makes in one statement.
 * @throws InvalidArgumentError, TenantScopeError for bad ids; ConflictError where another integration has the name
 */
export async function ensureImportTarget(
  manager: DriverManager,
  target: ImportTarget,
  deps: ReadDeps,
): Promise<ImportTargetResult> {
  const tenantId = assertTenantId(target.tenantId);
  const integrationId = assertId(target.integrationId, 'integrationId');
  const tenantName = assertName(target.tenantName ?? tenantId, 'tenantName');
  const integrationName = assertName(target.integrationName ?? integrationId, 'integrationName').trim();
  const provider = assertOneOf(target.providerType ?? 'custom', CUS_PROVIDER_TYPES, 'providerType');
  const now = deps.clock.now().toISOString();
  const values = [tenantId, tenantName, slugOf(tenantId), integrationId, integrationName, provider, now];
  const row = await guarded(() => runOne(manager, ENSURE, values));
  if (row?.integration_created !== true) await assertIntegration(manager, tenantId, integrationId);
  return Object.freeze({
    tenantCreated: row?.tenant_created === true,
    integrationCreated: row?.integration_created === true,
  });
}

/** Not made and not there: another integration has the name, and an import would find no target. */
async function assertIntegration(manager: DriverManager, tenantId: string, integrationId: string): Promise<void> {
  if ((await guarded(() => runOne(manager, EXISTS, [tenantId, integrationId]))) === null)
    throw new ConflictError('another integration of the tenant has this name', {
      details: { field: 'integrationName', reason: 'unique' },
    });
}

const EXISTS = statement<{ id: string }>(
  'import_target_exists',
  'SELECT id FROM cus_integrations WHERE tenant_id = $1 AND id = $2',
);

const ENSURE = statement<{ tenant_created: boolean; integration_created: boolean }>(
  'ensure_import_target',
  `WITH tenant AS (
     INSERT INTO tenants (id, name, slug, created_at, updated_at)
     VALUES ($1, $2, $3, $7::timestamptz, $7::timestamptz)
     ON CONFLICT DO NOTHING RETURNING id
   ), integration AS (
     INSERT INTO cus_integrations (tenant_id, id, name, provider_type, credential_ref, status, created_at, updated_at)
     VALUES ($1, $4, $5, $6, 'env://HOC_IMPORT_UNUSED', 'enabled', $7::timestamptz, $7::timestamptz)
     ON CONFLICT DO NOTHING RETURNING id
   )
   SELECT EXISTS (SELECT FROM tenant) AS tenant_created, EXISTS (SELECT FROM integration) AS integration_created`,
);

/** Readable, and unique through the digest: two ids that differ in case only have different slugs. */
function slugOf(tenantId: string): string {
  const readable = tenantId.toLowerCase().replace(/[^a-z0-9]/g, '-');
  return `${readable.slice(0, 91)}-${sha256Hex(tenantId).slice(0, 8)}`;
}

function assertName(value: string, field: string): string {
  if (textFault(value, 1, 255) !== null || value.trim() === '')
    throw invalid(field, 'length', `${field} must have 1 to 255 characters`);
  return value;
}
