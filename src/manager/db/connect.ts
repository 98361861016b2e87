/** The connection pool to PostgreSQL, which managers share the making of with other components. */
export {
  connectDatabase,
  type Db,
  databaseTypes,
  describeAddress,
  lookupConnections,
  singleConnection,
} from '../../stores/sql/connect.ts';
