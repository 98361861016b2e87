/** Problems with requests as such, and with what the manager itself depends on. */
import { problem } from './problem.ts';

export const generalProblems = {
  AppNotFound: problem(404, 'object-not-found', 'No such app service.', 'backendai_read_not-found'),
  BgtaskNotFound: problem(
    404,
    'bgtask-not-found',
    'Background Task Not Found',
    'bgtask_read_not-found',
  ),
  DatabaseError: problem(503, 'database-error', 'Database Error', 'health-check_read_unavailable'),
  ExportReportNotFound: problem(
    404,
    'export-report-not-found',
    'Export report not found.',
    'backendai_read_not-found',
  ),
  GenericBadRequest: problem(
    400,
    'generic-bad-request',
    'Bad request.',
    'backendai_generic_bad-request',
  ),
  GenericForbidden: problem(
    403,
    'generic-forbidden',
    'Forbidden operation.',
    'backendai_generic_forbidden',
  ),
  GraphQLError: problem(
    400,
    'graphql-error',
    'GraphQL-generated error.',
    'api_generic_internal-error',
  ),
  InternalServerError: problem(
    500,
    'internal-server-error',
    'Internal server error.',
    'backendai_generic_internal-error',
  ),
  InvalidAPIParameters: problem(
    400,
    'generic-bad-request',
    'Invalid or Missing API Parameters.',
    'api_parsing_invalid-parameters',
  ),
  InvalidCursor: problem(
    400,
    'invalid-cursor',
    'Invalid cursor format.',
    'api_generic_invalid-parameters',
  ),
  InvalidGraphQLParameters: problem(
    400,
    'invalid-graphql-params',
    'Invalid GraphQL parameters.',
    'api_generic_invalid-parameters',
  ),

  InvalidBgtaskId: problem(
    400,
    'invalid-bgtask-id',
    'Invalid background task ID format.',
    'bgtask_read_invalid-parameters',
  ),
  InvalidExportFieldKeys: problem(
    400,
    'invalid-export-field-keys',
    'Invalid export field keys.',
    'backendai_read_bad-request',
  ),
  InvalidToken: problem(400, 'invalid-token', 'Invalid Token', 'api_auth_invalid-parameters'),
  MalformedRequestBody: problem(
    400,
    'generic-bad-request',
    'Malformed request body.',
    'api_parsing_bad-request',
  ),
  MethodNotAllowed: problem(
    405,
    'method-not-allowed',
    'HTTP Method Not Allowed.',
    'api_access_forbidden',
  ),
  NotImplementedAPI: problem(
    501,
    'not-implemented',
    'This API is not implemented.',
    'api_generic_not-implemented',
  ),
  ObjectNotFound: problem(404, 'object-not-found', 'No such object.', 'backendai_read_not-found'),
  RateLimitExceeded: problem(
    429,
    'rate-limit-exceeded',
    'You have reached your API query rate limit.',
    'api_access_unavailable',
  ),
  RejectedByHook: problem(
    400,
    'rejected-by-hook',
    'Operation rejected by a hook plugin.',
    'plugin_hook_forbidden',
  ),
  RepositoryIntegrityError: problem(
    409,
    'integrity-error',
    'Integrity constraint violated.',
    'database_generic_conflict',
  ),
  ServerMisconfiguredError: problem(
    500,
    'server-misconfigured',
    'Service misconfigured.',
    'backendai_setup_internal-error',
  ),
  ServerFrozen: problem(
    503,
    'server-frozen',
    'The server is frozen due to maintenance. Please try again later.',
    'api_access_unavailable',
  ),
  ServiceUnavailable: problem(
    503,
    'service-unavailable',
    'Service unavailable.',
    'backendai_generic_unavailable',
  ),
  TooManyConcurrentExports: problem(
    503,
    'too-many-concurrent-exports',
    'Too many concurrent exports.',
    'backendai_generic_unavailable',
  ),
  URLNotFound: problem(404, 'url-not-found', 'Unknown URL path.', 'api_read_not-found'),
  UnknownResourceSlotType: problem(
    400,
    'unknown-resource-slot-type',
    'Unknown resource slot type.',
    'backendai_parsing_not-found',
  ),
} as const;
