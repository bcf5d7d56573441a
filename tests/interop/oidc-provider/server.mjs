// An issuer (oidc-provider) and an MCP server that accepts its tokens, each on a loopback port of its own.
//
//   node server.mjs [access token lifetime in seconds, default 2]
//
// Prints one line of JSON, {"issuer", "mcp", "admin"}, and ends when its standard input does. Below `admin`:
//   GET  /log             what was sent to the issuer's endpoints and answered, in order
//   POST /forget-clients  the issuer forgets every client that registered itself
//   POST /refuse-tokens   the MCP server refuses the access tokens it has seen so far

import { createServer } from 'node:http';
import { createRemoteJWKSet, exportJWK, generateKeyPair, jwtVerify } from 'jose';
import Provider, { errors } from 'oidc-provider';

const lifetime = Number(process.argv[2] ?? 2);
const issuerServer = createServer();
const mcpServer = createServer();
const issuer = await listen(issuerServer);
const origin = await listen(mcpServer);
const resource = `${origin}/mcp`;
const log = [];
const clients = new Set();
const seen = new Set();
const refused = new Set();

const { privateKey } = await generateKeyPair('RS256', { extractable: true });
const provider = new Provider(issuer, {
  clientDefaults: { token_endpoint_auth_method: 'none' },
  cookies: { keys: [crypto.randomUUID()] },
  features: {
    devInteractions: { enabled: true },
    registration: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo(_ctx, indicator) {
        if (indicator !== resource) throw new errors.InvalidTarget();
        return { accessTokenFormat: 'jwt', accessTokenTTL: lifetime, audience: resource, scope: 'tools:read tools:write' };
      },
      useGrantedResource: () => true,
    },
    revocation: { enabled: true },
  },
  findAccount: (_ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  issueRefreshToken: (_ctx, client) => client.grantTypeAllowed('refresh_token'),
  jwks: { keys: [{ ...(await exportJWK(privateKey)), alg: 'RS256', use: 'sig' }] },
  pkce: { required: () => true },
  rotateRefreshToken: true,
  routes: { authorization: '/authorize', registration: '/register', revocation: '/revoke' },
});
provider.on('registration_create.success', (_ctx, client) => clients.add(client.clientId));
provider.use(async (ctx, next) => {
  await next();
  if (ctx.method === 'POST' && ['/register', '/revoke', '/token'].includes(ctx.path)) {
    log.push({ path: ctx.path, request: { ...ctx.oidc?.body }, response: ctx.body ?? null, status: ctx.status });
  }
});
issuerServer.on('request', provider.callback());

const keys = createRemoteJWKSet(new URL(`${issuer}/jwks`));
const metadata = `${origin}/.well-known/oauth-protected-resource/mcp`;
mcpServer.on('request', async (request, response) => {
  const body = Buffer.concat(await Array.fromAsync(request)).toString();
  const answer = (status, value, headers = {}) => response
    .writeHead(status, { 'Content-Type': 'application/json', ...headers })
    .end(value === undefined ? '' : JSON.stringify(value));
  const challenge = (status, parameters) => {
    const shown = { ...parameters, resource_metadata: metadata };
    const text = Object.entries(shown).map(([name, value]) => `${name}="${value}"`).join(', ');
    answer(status, undefined, { 'WWW-Authenticate': `Bearer ${text}` });
  };
  switch (`${request.method} ${request.url}`) {
    case 'GET /.well-known/oauth-protected-resource/mcp':
      return answer(200, { authorization_servers: [issuer], resource, scopes_supported: ['tools:read'] });
    case 'GET /admin/log':
      return answer(200, log);
    case 'POST /admin/forget-clients':
      for (const id of clients) await provider.Client.adapter.destroy(id);
      return answer(200, { forgotten: clients.size });
    case 'POST /admin/refuse-tokens':
      for (const token of seen) refused.add(token);
      return answer(200, { refused: refused.size });
    case 'POST /mcp':
      break;
    default:
      return answer(404);
  }
  const token = request.headers.authorization?.match(/^Bearer (.+)$/)?.[1];
  if (!token) return challenge(401, { scope: 'tools:read' });
  const claims = await jwtVerify(token, keys, { audience: resource, issuer, typ: 'at+jwt' })
    .then(({ payload }) => payload, () => undefined);
  if (!claims || refused.has(token)) return challenge(401, { error: 'invalid_token' });
  seen.add(token);
  const { id, method, params } = JSON.parse(body);
  const name = method === 'tools/call' ? params?.name : undefined;
  const needed = name === 'write' ? 'tools:write' : 'tools:read';
  if (!claims.scope?.split(' ').includes(needed)) {
    return challenge(403, { error: 'insufficient_scope', scope: needed });
  }
  if (!['whoami', 'write'].includes(name)) {
    return answer(200, { error: { code: -32601, message: 'only tools/call of whoami and write' }, id, jsonrpc: '2.0' });
  }
  answer(200, { id, jsonrpc: '2.0', result: { content: [{ text: `${name}: ${claims.sub}`, type: 'text' }] } });
});

process.stdin.resume().on('end', () => process.exit(0));
console.log(JSON.stringify({ admin: `${origin}/admin`, issuer, mcp: resource }));

function listen(server) {
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(`http://127.0.0.1:${server.address().port}`)));
}
