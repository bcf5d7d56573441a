// The official TypeScript SDK, 2.x: `client-v2.mjs MCP_URL MODE`.
import { Client, StreamableHTTPClientTransport, UnauthorizedError } from '@modelcontextprotocol/client';
import { walk } from './person.mjs';

const [mcpUrl, mode] = process.argv.slice(2);

async function connect({ url, mode, provider, onElicitation, finish }) {
    const capabilities = mode === 'plain' ? {} : { elicitation: { form: {}, url: {} } };
    const versionNegotiation = { mode: mode === '2025-11-25' ? 'legacy' : 'auto' };
    const make = () => {
        const client = new Client({ name: 'typescript-v2', version: '1' }, { capabilities, versionNegotiation });
        if (mode !== 'plain') client.setRequestHandler('elicitation/create', onElicitation);
        return client;
    };
    const transport = () => new StreamableHTTPClientTransport(url, { authProvider: provider });
    const first = transport();
    try {
        await make().connect(first);
        throw new Error('it was let in without a token');
    } catch (error) {
        if (!(error instanceof UnauthorizedError)) throw error;
    }
    await finish(first);
    const client = make();
    await client.connect(transport());
    return { client, version: client.getNegotiatedProtocolVersion() };
}

await walk({ mcpUrl, mode, name: 'TypeScript SDK 2.x', connect });
