export { asAdmin, databaseUrl, serverUrl, waitFor } from './admin';
export { assertNoSession, type DatabaseContent, dataSourceOn } from './databases';
export { explain, type Plan, type PlanNode } from './explain';
export { type BuiltRow, insertRows, insertUsageRows } from './rows';
export { killBackend, withRollback } from './sessions';
export { captureStatements, type SentStatement, type StatementCounter, statementCounter } from './statements';
export { type TcpProxy, tcpProxy } from './tcp-proxy';
export { type FreshDatabase, type TestDatabase, useDatabase, useEmptyDatabase, useFreshDatabase } from './use-database';
