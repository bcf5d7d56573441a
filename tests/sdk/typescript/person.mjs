// What a client program brings itself, whatever SDK it uses: a place on loopback where the browser comes back, a way to open a browser, and
// somewhere to keep tokens.
import { execFile } from 'node:child_process';
import { createServer } from 'node:http';
import { promisify } from 'node:util';

/** Opens the person's browser and waits until they are done there. */
export async function openBrowser(url) {
    const [program, ...rest] = JSON.parse(process.env.GRANTWAY_BROWSER);
    await promisify(execFile)(program, [...rest, String(url)]);
}

/** Listens where the browser comes back; `came` is the query it came with. */
export async function listen() {
    let arrive;
    const came = new Promise(resolve => (arrive = resolve));
    const server = createServer((request, response) => {
        const url = new URL(request.url, 'http://127.0.0.1');
        if (url.pathname !== '/callback') {
            response.writeHead(404).end();
            return;
        }
        response.writeHead(200, { 'content-type': 'text/plain' }).end('You can close this window.');
        arrive(url.searchParams);
    });
    await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
    return { redirectUrl: `http://127.0.0.1:${server.address().port}/callback`, came, close: () => server.close() };
}

/** The SDK's `OAuthClientProvider`, in memory. */
export class Provider {
    signIns = 0;
    #kept = {};

    constructor(redirectUrl, name) {
        this.redirectUrl = redirectUrl;
        this.clientMetadata = {
            client_name: name,
            redirect_uris: [redirectUrl],
            grant_types: ['authorization_code', 'refresh_token'],
            response_types: ['code'],
            token_endpoint_auth_method: 'none',
        };
    }

    state() {
        return (this.#kept.state ??= crypto.randomUUID());
    }
    clientInformation() {
        return this.#kept.client;
    }
    saveClientInformation(client) {
        this.#kept.client = client;
    }
    tokens() {
        return this.#kept.tokens;
    }
    saveTokens(tokens) {
        this.#kept.tokens = tokens;
    }
    codeVerifier() {
        return this.#kept.verifier;
    }
    saveCodeVerifier(verifier) {
        this.#kept.verifier = verifier;
    }
    discoveryState() {
        return this.#kept.discovery;
    }
    saveDiscoveryState(discovery) {
        this.#kept.discovery = discovery;
    }
    async redirectToAuthorization(url) {
        this.signIns += 1;
        await openBrowser(url);
    }
}

export const sleep = ms => new Promise(resolve => setTimeout(resolve, ms));

/** The same for both lines of the SDK: signs in, calls, meets a challenge, connects, calls again, and goes on when the token has ended. */
export async function walk({ mcpUrl, mode, name, connect }) {
    const callback = await listen();
    const provider = new Provider(callback.redirectUrl, name);
    const challenge = {};
    const onElicitation = async request => {
        Object.assign(challenge, { form: 'input_required', mode: request.params.mode, url: request.params.url });
        await openBrowser(request.params.url);
        return { action: 'accept' };
    };
    const finish = async transport => {
        const came = await callback.came;
        if (came.get('state') !== provider.state()) throw new Error('the browser came back with another state');
        await transport.finishAuth(came);
    };
    const { client, version } = await connect({ url: new URL(mcpUrl), mode, provider, onElicitation, finish });
    const call = async tool => {
        const result = await client.callTool({ name: tool, arguments: {} });
        return { text: result.content[0].text, isError: result.isError ?? false };
    };

    const tools = (await client.listTools()).tools.map(tool => tool.name);
    const whoami = await call('whoami');
    let files;
    try {
        files = await call('files');
    } catch (error) {
        if (error.code !== -32042) throw error;
        const [asked] = error.data?.elicitations ?? error.elicitations;
        Object.assign(challenge, { form: 'url_elicitation', mode: asked.mode, url: asked.url });
        await openBrowser(asked.url);
        files = await call('files');
    }
    if (files.isError) {
        Object.assign(challenge, { form: 'text', url: files.text.match(/http:\S+/)[0] });
        await openBrowser(challenge.url);
        files = await call('files');
    }
    await sleep(Number(process.env.GRANTWAY_TOKEN_SECONDS) * 1000 + 500);
    const again = await call('whoami');
    await client.close();
    callback.close();
    console.log(JSON.stringify({ version, tools, whoami, challenge, files, again, signIns: provider.signIns }));
}
