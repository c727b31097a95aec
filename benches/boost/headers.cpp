// What must be found for all of this to be built.

#include <boost/interprocess/managed_shared_memory.hpp>
