/**
 * The plain page's behaviour: signs in and lists what the account has. Runs in the
 * browser.
 */
const $ = (id) => document.getElementById(id);
// Kept for browsers that drop the cookie, which is sent over HTTPS only unless configured.
const remembered = () => sessionStorage.getItem('session');

async function call(path, body) {
  const headers = { 'Content-Type': 'application/json' };
  const id = remembered();
  if (id) headers['X-BackendAI-SessionID'] = id;
  const response = await fetch(path, { method: 'POST', headers, body: JSON.stringify(body) });
  const session = response.headers.get('X-BackendAI-SessionID');
  if (session) sessionStorage.setItem('session', session);
  const text = await response.text();
  const isJson = /json/.test(response.headers.get('Content-Type') || '');
  return { status: response.status, data: isJson && text ? JSON.parse(text) : null };
}

async function query(source) {
  const { status, data } = await call('/func/admin/gql', { query: source, variables: {} });
  if (status === 401) {
    sessionStorage.removeItem('session');
    show(null);
    throw new Error('Your sign-in is over. Sign in again.');
  }
  const problem = data?.errors?.[0]?.message || (status >= 400 && (data?.msg || data?.title));
  if (problem || !data) throw new Error(problem || `The server answered ${status}.`);
  return data.data;
}

function fill(table, rows) {
  const body = $(table).tBodies[0];
  body.replaceChildren(
    ...(rows.length > 0 ? rows : [['None.']]).map((cells) => {
      const row = document.createElement('tr');
      for (const cell of cells) row.insertCell().textContent = cell ?? '';
      return row;
    }),
  );
}

const time = (text) => (text ? new Date(text).toLocaleString() : '');
const slots = (text) =>
  Object.entries(JSON.parse(text || '{}'))
    .map(([name, amount]) => `${name} ${amount}`)
    .join(', ');

async function refresh(role) {
  const sessions = await query(
    '{ compute_session_list(limit: 100, offset: 0) { items { name image type status group_name created_at } } }',
  );
  fill(
    'sessions',
    sessions.compute_session_list.items.map((s) => [
      ...[s.name, s.image, s.type, s.status, s.group_name],
      time(s.created_at),
    ]),
  );
  $('agents-section').hidden = role !== 'superadmin';
  if (role !== 'superadmin') return;
  const agents = await query(
    '{ agent_list(limit: 100, offset: 0) { items { id status scaling_group available_slots occupied_slots } } }',
  );
  fill(
    'agents',
    agents.agent_list.items.map((a) => [
      ...[a.id, a.status, a.scaling_group],
      ...[slots(a.available_slots), slots(a.occupied_slots)],
    ]),
  );
}

const tell = (text) => {
  $('message').textContent = text;
};
const guarded = (work) => async (event) => {
  event?.preventDefault();
  tell('');
  try {
    await work();
  } catch (error) {
    tell(error instanceof TypeError ? 'The server cannot be reached.' : error.message);
  }
};

let role = null;
function show(account) {
  role = account?.role ?? null;
  $('sign-in').hidden = account !== null;
  if ($('openid')) $('openid').hidden = account !== null;
  $('account').hidden = account === null;
  $('who').hidden = account === null;
  $('name').textContent = account ? `${account.access_key} (${account.role})` : '';
}

async function start() {
  const { data } = await call('/server/login-check', {});
  show(data?.authenticated ? data.data : null);
  if (data?.authenticated) return refresh(role);
  if (token) await signIn();
}

/** What single sign-on gave; it stands for name and password. */
let token = new URLSearchParams(location.search).get('sToken');
if (token) history.replaceState(null, '', location.pathname);

/** Only what the way of signing in needs is asked for. */
function askFor(fields) {
  for (const id of ['username', 'password']) {
    $(id).required = !token;
    $(id).parentElement.hidden = Boolean(token);
  }
  for (const id of fields) $(id).hidden = false;
}

async function signIn() {
  const body = token
    ? { sToken: token }
    : { username: $('username').value.trim(), password: $('password').value };
  if (!$('otp-field').hidden && $('otp').value) body.otp = $('otp').value;
  if (!$('force-field').hidden) body.force = $('force').checked;
  const { data } = await call(token ? '/server/token-login' : '/server/login', body);
  if (data?.authenticated) {
    token = null;
    askFor([]);
    $('password').value = '';
    return start();
  }
  const problem = data?.data ?? data ?? {};
  const kind = (problem.type ?? '').split('/').at(-1);
  if (kind === 'require-totp-registration') {
    return enrol(problem.two_factor_registration_token);
  }
  if (kind === 'require-totp-authentication') askFor(['otp-field']);
  else if (kind === 'active-login-session-exists') askFor(['force-field']);
  else token = null;
  throw new Error(problem.details || problem.title || 'You could not be signed in.');
}

let registration = null;

/** Shows the key of a second factor that signing in demands. */
async function enrol(registrationToken) {
  registration = registrationToken;
  const { status, data } = await call('/func/totp/anon', { registration_token: registration });
  if (status !== 200)
    throw new Error(data?.msg || data?.title || 'Enrolling failed. Sign in again.');
  $('enrol-key').textContent = data.totp_key;
  $('enrol-link').href = data.totp_uri;
  $('sign-in').hidden = true;
  $('enrol').hidden = false;
}

async function proveEnrolment() {
  const { status, data } = await call('/func/totp/anon/verify', {
    registration_token: registration,
    otp: $('enrol-code').value,
  });
  if (status !== 200) throw new Error(data?.msg || data?.title || 'The code was not accepted.');
  $('enrol').hidden = true;
  $('enrol-key').textContent = '';
  $('sign-in').hidden = false;
  askFor(['otp-field']);
  tell('Done. Sign in with the next code that the app shows.');
}

async function signOut() {
  await call('/server/logout', {});
  sessionStorage.removeItem('session');
  show(null);
}

$('sign-in').addEventListener('submit', guarded(signIn));
$('enrol').addEventListener('submit', guarded(proveEnrolment));
if ($('redirect-to')) $('redirect-to').value = location.href.replace(/[?#].*$/, '');
$('sign-out').addEventListener('click', guarded(signOut));
$('refresh').addEventListener(
  'click',
  guarded(() => refresh(role)),
);
void guarded(start)();
