// The API's interactive reference, from the document this same server gives.
const place = document.querySelector("[data-openapi-url]");
if (place && window.SwaggerUIBundle) {
  place.replaceChildren();
  window.SwaggerUIBundle({
    url: place.dataset.openapiUrl,
    domNode: place,
    deepLinking: true,
    docExpansion: "none",
    defaultModelsExpandDepth: 0,
    displayRequestDuration: true,
    persistAuthorization: false,
    tryItOutEnabled: true,
    validatorUrl: null,
    presets: [window.SwaggerUIBundle.presets.apis],
    layout: "BaseLayout",
  });
}
