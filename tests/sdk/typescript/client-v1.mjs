// The official TypeScript SDK, 1.x: `client-v1.mjs MCP_URL MODE`.
import { UnauthorizedError } from '@modelcontextprotocol/sdk/client/auth.js';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { ElicitRequestSchema } from '@modelcontextprotocol/sdk/types.js';
import { walk } from './person.mjs';

const [mcpUrl, mode] = process.argv.slice(2);

async function connect({ url, mode, provider, onElicitation, finish }) {
    const capabilities = mode === 'plain' ? {} : { elicitation: { form: {}, url: {} } };
    const client = new Client({ name: 'typescript-v1', version: '1' }, { capabilities });
    if (mode !== 'plain') client.setRequestHandler(ElicitRequestSchema, onElicitation);
    const transport = () => new StreamableHTTPClientTransport(url, { authProvider: provider });
    const first = transport();
    try {
        await client.connect(first);
        throw new Error('it was let in without a token');
    } catch (error) {
        if (!(error instanceof UnauthorizedError)) throw error;
    }
    // This line of the SDK takes the code alone.
    await finish({ finishAuth: came => first.finishAuth(came.get('code')) });
    const second = transport();
    await client.connect(second);
    return { client, version: second.protocolVersion };
}

await walk({ mcpUrl, mode, name: 'TypeScript SDK 1.x', connect });
