"""The language models that can be asked, by where they run."""

from seal.language_models.answers import Engine

LLAMA_CPP, OLLAMA, OPENAI = "llama-cpp", "ollama", "openai"


def identity(name: str, model: str) -> str:
    """What a model's answers depend on beside the request.

    A served model is known by the name in the request alone: the server says nothing more that can be relied on.
    """
    if name == LLAMA_CPP:
        from seal.language_models import llama_cpp

        return llama_cpp.identity(model)
    return name


def open_engine(name: str, model: str, context_tokens: int) -> Engine:
    """Make a model ready to answer, one request at a time.

    Parameters
    ----------
    name
        llama-cpp, ollama or openai.
    model
        As llama-cpp has it; the servers read it in each request.
    context_tokens
        Room for a request and its answer together, where the model runs here or on an Ollama server.

    Raises
    ------
    InputError
        If the model or the key is not there.
    """
    if name == LLAMA_CPP:
        from seal.language_models import llama_cpp

        return llama_cpp.engine(model, context_tokens)
    if name == OLLAMA:
        from seal.language_models import ollama_chat

        return ollama_chat.engine(context_tokens)
    from seal.language_models import openai_chat

    return openai_chat.engine(openai_chat.client())
