// Writes src/openapi.ts: the types of the schemas in /openapi.json, without those of the models that are served.
// MODELGATE: the address of a gateway. The first argument: another file to write.

import { writeFile } from "node:fs/promises";
import openapiTS, { astToString } from "openapi-typescript";

const address = process.env.MODELGATE ?? "http://127.0.0.1:8080";
const { openapi, info, components } = await (await fetch(`${address}/openapi.json?model=`)).json();
const types = await openapiTS({ openapi, info, paths: {}, components: { schemas: components.schemas } });
const head = "// `npm run types` makes this file of /openapi.json.\n";
await writeFile(process.argv[2] ?? "src/openapi.ts", head + astToString(types));
