/** Tells the database's failures apart. */
import { errorCode } from '../../common/errors.ts';

/** Failures of the connection to PostgreSQL: the driver's own codes, and SQLSTATE 08, 53300, 57P. */
const DATABASE_AWAY = /^(CONNECTION_\w+|CONNECT_TIMEOUT|08...|53300|57P..)$/;

/** Whether the database cannot be reached, so that nothing else would succeed at present. */
export const isDatabaseAway = (error: unknown): boolean => DATABASE_AWAY.test(errorCode(error));
