/** The statuses a session can have, as the API names them, roughly in the order it passes them. */
export const sessionStatuses = [
  'PENDING',
  'DEPRIORITIZING',
  'SCHEDULED',
  'PREPARING',
  'PULLING',
  'PREPARED',
  'CREATING',
  'RUNNING',
  'RESTARTING',
  'RUNNING_DEGRADED',
  'TERMINATING',
  'TERMINATED',
  'ERROR',
  'CANCELLED',
] as const;
