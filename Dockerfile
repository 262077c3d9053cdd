# The image for your own cluster. The test cluster builds the same content without a daemon: scripts/build-image.sh.
FROM node:24-bookworm-slim AS build
WORKDIR /src
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts
COPY src ./src
RUN npx esbuild src/main.ts --bundle --platform=node --target=node24 --format=esm --minify-syntax --outfile=dist/canarygate.mjs \
    --external:@kubernetes/client-node \
    --banner:js="import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);"

FROM gcr.io/distroless/nodejs24-debian12:nonroot
WORKDIR /app
COPY --from=build /src/dist/canarygate.mjs ./
ENV NODE_ENV=production NODE_OPTIONS=--max-old-space-size-percentage=70
USER 65532
ENTRYPOINT ["/nodejs/bin/node", "/app/canarygate.mjs"]
