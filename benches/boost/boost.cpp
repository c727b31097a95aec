// Boost.Interprocess behind plain functions, with all its defaults: memory by rbtree_best_fit, names by
// iset_index, both under one mutex. An exception that is not caught here ends the program.

#include <boost/interprocess/managed_shared_memory.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <new>

namespace ipc = boost::interprocess;
using Segment = ipc::managed_shared_memory;

extern "C" {

// A fresh segment, which has no name any more when this returns; null: there is no room for it.
Segment *sharena_boost_create(const char *name, std::size_t bytes) noexcept {
    ipc::shared_memory_object::remove(name);
    Segment *segment = nullptr;
    try {
        segment = new Segment(ipc::create_only, name, bytes);
    } catch (const std::exception &) {
    }
    ipc::shared_memory_object::remove(name);
    return segment;
}

void sharena_boost_close(Segment *segment) noexcept { delete segment; }

// Null: it is full.
void *sharena_boost_allocate(Segment *segment, std::size_t bytes) noexcept {
    return segment->allocate(bytes, std::nothrow);
}

void sharena_boost_deallocate(Segment *segment, void *block) noexcept {
    segment->deallocate(block);
}

// Null: there is one of that name, or no room.
std::uint64_t *sharena_boost_construct(Segment *segment, const char *name,
                                       std::uint64_t value) noexcept {
    return segment->construct<std::uint64_t>(name, std::nothrow)(value);
}

// Null: there is none.
std::uint64_t *sharena_boost_find(Segment *segment, const char *name) noexcept {
    return segment->find<std::uint64_t>(name).first;
}

bool sharena_boost_destroy(Segment *segment, const char *name) noexcept {
    return segment->destroy<std::uint64_t>(name);
}

}
