/**
 * Upstream's problem types: HTTP status, slug of the `type` URI, title and error code of each error
 * class that this product raises. Clients match on slug and code, so they are a foreign contract;
 * add a row when a feature first needs it.
 */

interface Problem {
  readonly status: number;
  readonly slug: string;
  readonly title: string;
  readonly code: string;
}

const problem = (status: number, slug: string, title: string, code: string): Problem => ({
  status,
  slug,
  title,
  code,
});

export const problems = {
  AccessKeyNotFound: problem(404, 'object-not-found', 'No such access key.', 'user_read_not-found'),
  AgentConnectionUnavailable: problem(
    503,
    'agent-connection-unavailable',
    'Agent connection unavailable.',
    'agent_access_unavailable',
  ),
  AgentNotAllocated: problem(
    500,
    'agent-not-allocated',
    'Agent ID has not been allocated for the session.',
    'agent_access_internal-error',
  ),
  AgentNotFound: problem(404, 'agent-not-found', 'Agent Not Found', 'agent_read_not-found'),
  AppNotFound: problem(404, 'object-not-found', 'No such app service.', 'backendai_read_not-found'),
  AuthorizationFailed: problem(
    401,
    'auth-failed',
    'Credential/signature mismatch.',
    'user_auth_unauthorized',
  ),
  ConcurrencyLimitExceeded: problem(
    412,
    'concurrency-limit-exceeded',
    'Concurrent session limit exceeded.',
    'session_check-limit_forbidden',
  ),
  DatabaseError: problem(503, 'database-error', 'Database Error', 'health-check_read_unavailable'),
  DependenciesNotSatisfied: problem(
    412,
    'dependencies-not-satisfied',
    'Session dependencies not satisfied.',
    'session_check-limit_forbidden',
  ),
  DomainHasActiveKernels: problem(409, 'domain-has-active-kernels', 'Domain has active kernels.', 'domain_purge_conflict'),
  DomainHasGroups: problem(409, 'domain-has-groups', 'Domain has associated groups.', 'domain_purge_conflict'),
  DomainHasUsers: problem(409, 'domain-has-users', 'Domain has associated users.', 'domain_purge_conflict'),
  DomainNotFound: problem(404, 'object-not-found', 'No such domain.', 'domain_read_not-found'),
  DomainResourceQuotaExceeded: problem(
    412,
    'domain-resource-quota-exceeded',
    'Domain resource quota exceeded.',
    'domain_check-limit_forbidden',
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
  GroupNotFound: problem(404, 'group-not-found', 'Project Not Found', 'group_read_not-found'),
  GroupResourceQuotaExceeded: problem(
    412,
    'group-resource-quota-exceeded',
    'Group resource quota exceeded.',
    'group_check-limit_forbidden',
  ),
  ImageAliasNotFound: problem(
    404,
    'object-not-found',
    'No such image alias.',
    'image-alias_read_not-found',
  ),
  ImageNotFound: problem(
    404,
    'object-not-found',
    'No such environment image.',
    'image_read_not-found',
  ),
  IncompleteSessionSpec: problem(
    400,
    'incomplete-session-spec',
    'Session spec has unresolved required fields.',
    'session_create_invalid-parameters',
  ),
  InstanceNotAvailable: problem(
    503,
    'instance-not-available',
    'There is no available instance.',
    'instance_access_unavailable',
  ),
  InstanceNotFound: problem(
    404,
    'object-not-found',
    'No such agent instance.',
    'instance_read_not-found',
  ),
  InsufficientPrivilege: problem(
    403,
    'insufficient-privilege',
    'Insufficient privilege.',
    'user_auth_forbidden',
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
  InvalidAuthParameters: problem(
    400,
    'invalid-auth-params',
    'Missing or invalid authorization parameters.',
    'user_auth_invalid-parameters',
  ),
  InvalidKernelConfig: problem(
    400,
    'invalid-kernel-config',
    'Invalid kernel configuration.',
    'kernel_create_invalid-parameters',
  ),
  InvalidKernelStatus: problem(
    409,
    'invalid-kernel-status',
    'Invalid kernel status for this operation.',
    'kernel_update_conflict',
  ),
  InvalidSessionData: problem(
    500,
    'invalid-session-data',
    'Session data has an invalid type or format.',
    'session_read_invalid-data-format',
  ),
  InvalidSessionId: problem(
    400,
    'invalid-session-id',
    'Invalid session ID format.',
    'session_read_invalid-parameters',
  ),
  InvalidStreamMode: problem(
    400,
    'invalid-stream-mode',
    'Invalid or missing stream mode parameter.',
    'session_execute_invalid-parameters',
  ),
  InvalidUserUpdateMode: problem(400, 'invalid-user-update-mode', 'Invalid user update mode.', 'group_update_invalid-parameters'),
  KernelCreationFailed: problem(
    500,
    'kernel-creation-failed',
    'Kernel creation has failed.',
    'kernel_create_internal-error',
  ),
  KernelDestructionFailed: problem(
    500,
    'kernel-destruction-failed',
    'Kernel destruction has failed.',
    'kernel_soft-delete_internal-error',
  ),
  KernelExecutionFailed: problem(
    500,
    'kernel-execution-failed',
    'Executing user code in the kernel has failed.',
    'kernel_execute_internal-error',
  ),
  KernelNotFound: problem(404, 'object-not-found', 'No such kernel.', 'kernel_read_not-found'),
  KernelNotReady: problem(400, 'kernel-not-ready', 'Kernel not ready.', 'kernel_read_not-ready'),
  KeyPairForbidden: problem(403, 'keypair-forbidden', 'The key pair is not allowed to be used.', 'keypair_read_forbidden'),
  KeypairResourcePolicyNotFound: problem(404, 'keypair-resource-policy-not-found', 'Keypair Resource Policy Not Found', 'keypair-resource-policy_read_not-found'),
  KeypairResourceQuotaExceeded: problem(
    412,
    'keypair-resource-quota-exceeded',
    'Keypair resource quota exceeded.',
    'keypair_check-limit_forbidden',
  ),
  MainKernelNotFound: problem(
    404,
    'object-not-found',
    'No such main kernel.',
    'kernel_read_not-found',
  ),
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
  NoAvailableScalingGroup: problem(
    400,
    'no-available-scaling-group',
    'No scaling groups available for this session.',
    'scaling-group_access_not-found',
  ),
  NotImplementedAPI: problem(
    501,
    'not-implemented',
    'This API is not implemented.',
    'api_generic_not-implemented',
  ),
  ObjectNotFound: problem(404, 'object-not-found', 'No such object.', 'backendai_read_not-found'),
  PendingSessionCountLimitExceeded: problem(
    412,
    'pending-session-count-limit-exceeded',
    'Pending session count limit exceeded.',
    'session_check-limit_forbidden',
  ),
  PendingSessionResourceLimitExceeded: problem(
    412,
    'pending-session-resource-limit-exceeded',
    'Pending session resource limit exceeded.',
    'session_check-limit_forbidden',
  ),
  ProjectHasActiveKernelsError: problem(409, 'project-has-active-kernels', 'Project has active kernels.', 'group_purge_conflict'),
  ProjectNotFound: problem(404, 'project-not-found', 'Project not found.', 'group_read_not-found'),
  QuotaExceeded: problem(
    400,
    'quota-exceeded',
    'You have reached your resource limit.',
    'session_create_unavailable',
  ),
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
  RepositoryIntegrityError: problem(409, 'integrity-error', 'Integrity constraint violated.', 'database_generic_conflict'),
  ResourcePresetConflict: problem(409, 'duplicate-resource', 'Duplicate Resource Preset', 'resource-preset_generic_conflict'),
  ResourcePresetNotFound: problem(404, 'object-not-found', 'No such resource preset.', 'resource-preset_read_not-found'),
  ScalingGroupConflict: problem(409, 'duplicate-scaling-group', 'Duplicate Scaling Group', 'scaling-group_generic_conflict'),
  ScalingGroupNotFound: problem(
    404,
    'object-not-found',
    'No such scaling group.',
    'scaling-group_read_not-found',
  ),
  ScalingGroupSessionTypeNotAllowed: problem(
    422,
    'scaling-group-session-type-not-allowed',
    'Scaling group does not allow this session type.',
    'scaling-group_read_invalid-parameters',
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
  SessionAlreadyExists: problem(
    400,
    'session-already-exists',
    'The session already exists but you requested not to reuse existing one.',
    'session_create_already-exists',
  ),
  SessionNotAllocated: problem(
    500,
    'session-not-allocated',
    'Session ID is not available during allocation.',
    'session_access_internal-error',
  ),
  SessionNotFound: problem(404, 'object-not-found', 'No such session.', 'session_read_not-found'),
  TooManyKernelsFound: problem(
    404,
    'too-many-kernels',
    'There are two or more matching kernels.',
    'kernel_read_conflict',
  ),
  TooManySessionsMatched: problem(
    404,
    'too-many-sessions-matched',
    'Too many sessions matched.',
    'session_read_conflict',
  ),
  URLNotFound: problem(404, 'url-not-found', 'Unknown URL path.', 'api_read_not-found'),
  UnknownImageReferenceError: problem(
    404,
    'object-not-found',
    'No such image reference.',
    'image_read_internal-error',
  ),
  UnknownResourceSlotType: problem(
    400,
    'unknown-resource-slot-type',
    'Unknown resource slot type.',
    'backendai_parsing_not-found',
  ),
  UserConflict: problem(409, 'user-conflict', 'The user already exists.', 'user_create_conflict'),
  UserCreationBadRequest: problem(400, 'user-creation-bad-request', 'Failed to create user due to bad request.', 'user_create_bad-request'),
  UserModificationBadRequest: problem(400, 'user-modification-bad-request', 'Failed to modify user due to bad request.', 'user_update_bad-request'),
  UserNotFound: problem(404, 'user-not-found', 'The user does not exist.', 'user_read_not-found'),
  UserPurgeFailure: problem(500, 'user-purge-failure', 'Failed to purge user.', 'user_purge_internal-error'),
  UserResourcePolicyNotFound: problem(404, 'user-resource-policy-not-found', 'User Resource Policy Not Found', 'user-resource-policy_read_not-found'),
  UserResourceQuotaExceeded: problem(
    412,
    'user-resource-quota-exceeded',
    'User resource quota exceeded.',
    'user_check-limit_forbidden',
  ),
} as const;

export type ProblemName = keyof typeof problems;
