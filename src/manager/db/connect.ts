/** The connection pool to PostgreSQL, which managers share the making of with other components. */
export {
  connectDatabase,
  type Db,
  databaseTypes,
  describeAddress,
  keyedConnections,
  lookupConnections,
  singleConnection,
} from '../../stores/sql/connect.ts';
